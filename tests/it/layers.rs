//! Every file knows only what is below it: no two files import each other in a loop, and no import points upward.
//!
//! The layers stand in `docs/architecture.md`, highest first; modules on one line do not know each other. What counts as
//! an import is a path that begins with `crate`, `super`, `self` or a child module, in a `use` or anywhere else, outside
//! of unit tests. It leads to the file that defines the name: a `use` on the way is followed. A `pub use` of what
//! stands in a folder's own files is a table of contents and no import. A folder's `mod.rs` is a file like any other: what
//! its files have in common stands in one beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module's path from the crate's root, which is empty.
type Module = Vec<String>;
/// Which modules each module imports from, and by which names.
type Imports = BTreeMap<Module, BTreeMap<Module, String>>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Sign(char),
}

impl Token {
    fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Sign(_) => None,
        }
    }

    fn is(&self, sign: char) -> bool {
        *self == Self::Sign(sign)
    }
}

/// Words and signs of a source, without comments, texts and characters.
fn tokens(source: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_text(rest) {
            length
        } else if first == '"' {
            text(rest)
        } else if first == '\'' {
            character(rest)
        } else if first.is_alphanumeric() || first == '_' {
            let length = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
            found.push(Token::Word(rest[..length].to_owned()));
            length
        } else {
            if !first.is_whitespace() {
                found.push(Token::Sign(first));
            }
            first.len_utf8()
        };
        rest = &rest[skip..];
    }
    found
}

/// The length of a raw text that begins here.
fn raw_text(source: &str) -> Option<usize> {
    let after = source.strip_prefix("br").or_else(|| source.strip_prefix('r'))?;
    let marks = after.bytes().take_while(|byte| *byte == b'#').count();
    let body = after[marks..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(marks));
    let length = body.find(&end)? + end.len();
    Some(source.len() - body.len() + length)
}

/// The length of a text that begins here.
fn text(source: &str) -> usize {
    let mut is_escaped = false;
    for (place, letter) in source.char_indices().skip(1) {
        match letter {
            '"' if !is_escaped => return place + 1,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    source.len()
}

/// The length of a character that begins here, or of the sign of a lifetime.
fn character(source: &str) -> usize {
    let mut letters = source.char_indices().skip(1);
    match letters.next() {
        Some((_, '\\')) => source[3..].find('\'').map_or(source.len(), |end| end + 4),
        Some(_) => match letters.next() {
            Some((place, '\'')) => place + 1,
            _ => 1,
        },
        None => 1,
    }
}

/// Leaves out the items that only tests have.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mark: Vec<Token> = self::tokens("#[cfg(test)]");
    let mut kept = Vec::new();
    let mut place = 0;
    while place < tokens.len() {
        if !tokens[place..].starts_with(&mark) {
            kept.push(tokens[place].clone());
            place += 1;
            continue;
        }
        let mut depth = 0;
        place += mark.len();
        while let Some(token) = tokens.get(place) {
            place += 1;
            match token {
                Token::Sign('{') => depth += 1,
                Token::Sign('}') => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                Token::Sign(';') if depth == 0 => break,
                _ => {}
            }
        }
    }
    kept
}

/// A name that a `use` brings into a module.
struct Use {
    name: String,
    path: Vec<String>,
    is_public: bool,
}

/// What a file says of other modules.
#[derive(Default)]
struct File {
    uses: Vec<Use>,
    /// Paths that stand anywhere else.
    paths: Vec<Vec<String>>,
}

impl File {
    fn read(source: &str) -> Self {
        let tokens = without_tests(&tokens(source));
        let mut file = Self::default();
        let mut place = 0;
        while place < tokens.len() {
            let is_public = place > 0 && (tokens[place - 1].word() == Some("pub") || tokens[place - 1].is(')'));
            match tokens[place].word() {
                Some("use") => {
                    let end =
                        tokens[place..].iter().position(|token| token.is(';')).map_or(tokens.len(), |end| place + end);
                    file.read_tree(&tokens[place + 1..end], &[], is_public);
                    place = end;
                }
                // `pub(in path)` names who may look, and imports nothing.
                Some("in") if place > 1 && tokens[place - 1].is('(') && tokens[place - 2].word() == Some("pub") => {
                    place += tokens[place..].iter().position(|token| token.is(')')).unwrap_or_default();
                }
                Some(word) if !Self::goes_on(&tokens, place) => {
                    let mut path = vec![word.to_owned()];
                    while Self::goes_on(&tokens, place + 3)
                        && let Some(word) = tokens.get(place + 3).and_then(Token::word)
                    {
                        path.push(word.to_owned());
                        place += 3;
                    }
                    if path.len() > 1 {
                        file.paths.push(path);
                    }
                }
                _ => {}
            }
            place += 1;
        }
        file
    }

    /// Whether the word here follows `::`.
    fn goes_on(tokens: &[Token], place: usize) -> bool {
        place >= 2 && place < tokens.len() && tokens[place - 1].is(':') && tokens[place - 2].is(':')
    }

    /// Reads what follows `use`, or one branch of it.
    fn read_tree(&mut self, tree: &[Token], before: &[String], is_public: bool) {
        let mut path = before.to_vec();
        let mut rest = tree;
        while let [Token::Word(word), Token::Sign(':'), Token::Sign(':'), after @ ..] = rest {
            path.push(word.clone());
            rest = after;
        }
        match rest {
            [Token::Sign('{'), branches @ .., Token::Sign('}')] => {
                let mut depth = 0;
                let parts = branches.split(|token| {
                    depth += i32::from(token.is('{')) - i32::from(token.is('}'));
                    token.is(',') && depth == 0
                });
                for branch in parts.filter(|branch| !branch.is_empty()) {
                    self.read_tree(branch, &path, is_public);
                }
            }
            [Token::Sign('*')] => self.uses.push(Use { name: "*".to_owned(), path, is_public }),
            [Token::Word(last), renamed @ ..] => {
                if last != "self" || path.is_empty() {
                    path.push(last.clone());
                }
                let name = renamed.last().and_then(Token::word).or_else(|| path.last().map(String::as_str));
                let name = name.unwrap_or_default().to_owned();
                self.uses.push(Use { name, path, is_public });
            }
            _ => {}
        }
    }
}

/// The files of a crate by their modules.
struct Source {
    files: BTreeMap<Module, File>,
}

impl Source {
    fn of(root: &Path) -> Self {
        let mut files = BTreeMap::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "rs") && name != "tests" {
                    files.insert(module_of(root, &path), File::read(&fs::read_to_string(&path).expect("a file")));
                }
            }
        }
        Self { files }
    }

    #[cfg(test)]
    fn made_of(files: &[(&str, &str)]) -> Self {
        let root = Path::new("src");
        let files = files.iter().map(|(path, text)| (module_of(root, &root.join(path)), File::read(text)));
        Self { files: files.collect() }
    }

    /// The module that a path leads to from a module, and the name in it, if it stays within the crate.
    fn find(&self, from: &Module, path: &[String], hops: usize) -> Option<Module> {
        let (mut module, mut rest) = match path.first().map(String::as_str) {
            Some("crate") => (Vec::new(), &path[1..]),
            Some("self") => (from.clone(), &path[1..]),
            Some("super") => (from[..from.len().checked_sub(1)?].to_vec(), &path[1..]),
            _ if self.is_module(from, path.first()?) => (from.clone(), path),
            _ => return None,
        };
        while let [first, after @ ..] = rest {
            if first == "super" {
                module.pop();
            } else if self.is_module(&module, first) {
                module.push(first.clone());
            } else {
                break;
            }
            rest = after;
        }
        let Some(name) = rest.first() else { return Some(module) };
        let file = self.files.get(&module)?;
        match file.uses.iter().find(|found| found.name == *name) {
            Some(found) if hops > 0 => {
                let further: Vec<String> = found.path.iter().chain(&rest[1..]).cloned().collect();
                self.find(&module, &further, hops - 1).or(Some(module))
            }
            _ => Some(module),
        }
    }

    fn is_module(&self, parent: &Module, name: &str) -> bool {
        let mut module = parent.clone();
        module.push(name.to_owned());
        self.files.contains_key(&module)
    }

    fn imports(&self) -> Imports {
        let mut imports = Imports::new();
        for (module, file) in &self.files {
            let contents = |found: &&Use| {
                let target = self.find(module, &found.path, 0);
                found.is_public
                    && target.is_some_and(|target| target.len() > module.len() && target.starts_with(module))
            };
            let uses = file.uses.iter().filter(|found| !contents(found)).map(|found| &found.path);
            let of_module = imports.entry(module.clone()).or_default();
            for path in uses.chain(&file.paths) {
                let Some(target) = self.find(module, path, 8) else { continue };
                if target != *module {
                    of_module.entry(target).or_insert_with(|| path.join("::"));
                }
            }
        }
        imports
    }
}

fn module_of(root: &Path, path: &Path) -> Module {
    let path = path.strip_prefix(root).expect("below the root").with_extension("");
    let mut module: Module = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|name| name == "mod" || name == "lib") {
        module.pop();
    }
    module
}

fn shown(module: &Module) -> String {
    if module.is_empty() { "lib".to_owned() } else { module.join("::") }
}

/// The shortest loops of imports, one for each knot, in words.
fn loops(imports: &Imports) -> Vec<String> {
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    for start in imports.keys() {
        if known.contains(start) {
            continue;
        }
        let Some(mut way) = way_back(imports, start) else { continue };
        known.extend(way.iter().cloned());
        way.push(start.clone());
        found.push(way.iter().map(shown).collect::<Vec<_>>().join(" -> "));
    }
    found
}

/// The shortest way from a module back to itself.
fn way_back(imports: &Imports, start: &Module) -> Option<Vec<Module>> {
    let mut came_from: BTreeMap<&Module, &Module> = BTreeMap::new();
    let mut next = vec![start];
    while !next.is_empty() {
        let mut after = Vec::new();
        for module in next {
            for target in imports.get(module).into_iter().flat_map(BTreeMap::keys) {
                if target == start {
                    let mut way = vec![module.clone()];
                    let mut at = module;
                    while let Some(before) = came_from.get(at) {
                        way.push((*before).clone());
                        at = before;
                    }
                    way.reverse();
                    return Some(way);
                }
                if !came_from.contains_key(target) {
                    came_from.insert(target, module);
                    after.push(target);
                }
            }
        }
        next = after;
    }
    None
}

/// The layers of `docs/architecture.md`, highest first.
fn layers(document: &str) -> Vec<Vec<String>> {
    let block = document.split("```layers\n").nth(1).expect("the layers").split("```").next().expect("their end");
    block.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// The modules that a crate's root declares.
fn declared(root: &str) -> BTreeSet<String> {
    let source = fs::read_to_string(repository().join("src").join(root)).expect("a root");
    let tokens = tokens(&source);
    let names = tokens.windows(3).filter_map(|window| match window {
        [Token::Word(word), Token::Word(name), Token::Sign(';')] if word == "mod" => Some(name.clone()),
        _ => None,
    });
    names.collect()
}

/// Imports that do not lead to a lower layer, in words.
fn upward(imports: &Imports, layers: &[Vec<String>]) -> Vec<String> {
    let height = |module: &Module| {
        let top = module.first().map_or("lib", String::as_str);
        layers.iter().position(|layer| layer.iter().any(|name| name == top))
    };
    let mut found = Vec::new();
    for (module, targets) in imports {
        let Some(from) = height(module) else {
            found.push(format!("{} stands in no layer of docs/architecture.md", shown(module)));
            continue;
        };
        for (target, path) in targets.iter().filter(|(target, _)| target.first() != module.first()) {
            if height(target).is_none_or(|to| to <= from) {
                found.push(format!("{} imports {path}, which is not below it", shown(module)));
            }
        }
    }
    found
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn no_two_files_import_each_other_in_a_loop() {
    let imports = Source::of(&repository().join("src")).imports();
    assert!(imports.values().map(BTreeMap::len).sum::<usize>() > 300, "there are imports");
    let loops = loops(&imports);
    assert!(loops.is_empty(), "{} loops:\n{}", loops.len(), loops.join("\n"));
}

#[test]
fn no_import_points_upward() {
    let document = fs::read_to_string(repository().join("docs/architecture.md")).expect("the document");
    let found = upward(&Source::of(&repository().join("src")).imports(), &layers(&document));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_gaps_between_the_layers_are_the_borders_of_crates() {
    let document = fs::read_to_string(repository().join("docs/architecture.md")).expect("the document");
    let layers = layers(&document);
    let crates: Vec<BTreeSet<String>> = layers
        .split(|layer| layer.is_empty())
        .map(|layers| layers.iter().flatten().cloned().collect::<BTreeSet<String>>())
        .collect();
    let of = |root: &str, own: &[&str]| -> BTreeSet<String> {
        declared(root).into_iter().chain(own.iter().map(|name| (*name).to_owned())).collect()
    };
    let roots = [of("lib.rs", &["lib", "main"]), of("core.rs", &["core"]), of("trackers.rs", &["trackers"])];
    assert_eq!(crates, roots);
}

#[test]
fn a_loop_is_found_however_it_is_written() {
    let loop_of = |files: &[(&str, &str)]| loops(&Source::made_of(files).imports());
    let reexported = [
        ("lib.rs", "mod a; mod b;"),
        ("a/mod.rs", "mod inner; pub use self::inner::{Thing, other::Name as Renamed};"),
        ("a/inner.rs", "use crate::b; pub struct Thing;"),
        ("b.rs", "fn f() { let _ = \"crate::a::Quoted\"; crate::a::Thing::new(); }"),
    ];
    assert_eq!(loop_of(&reexported), ["a::inner -> b -> a::inner"]);
    let parent = [
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod c; mod d; use c::C; pub struct P;"),
        ("a/c.rs", "use super::P; use super::d::D;"),
        ("a/d.rs", "use super::{P, c::C};"),
    ];
    assert_eq!(loop_of(&parent), ["a -> a::c -> a", "a::d -> a::c -> a::d"], "a folder's `mod.rs` is a file too");
    let only_in_tests = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::B; #[cfg(test)] mod tests { use crate::b::X; } struct A;"),
        ("b.rs", "// use crate::a::A;\n struct B; #[cfg(test)] mod tests { use crate::a::A; }"),
    ];
    assert_eq!(loop_of(&only_in_tests), [""; 0]);
}

#[test]
fn an_import_that_points_upward_is_found() {
    let layers = layers("```layers\nlib\nhigh\nlow beside\n```");
    let source = Source::made_of(&[
        ("lib.rs", "mod high; mod low; mod beside;"),
        ("high.rs", "use crate::low::L;"),
        ("low.rs", "use crate::beside::B; fn f(_: crate::high::H) {}"),
        ("beside.rs", "struct B;"),
    ]);
    let found = upward(&source.imports(), &layers);
    assert_eq!(
        found,
        ["low imports crate::beside::B, which is not below it", "low imports crate::high::H, which is not below it"]
    );
}
