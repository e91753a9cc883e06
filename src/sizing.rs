//! How the memory of one process is divided: every bound on bytes that callers, organisations and trackers can reach.
//!
//! `docs/operations.md` has the same as a table, and a test adds it up.

/// Bytes of a mebibyte.
const MIB: usize = 1 << 20;

/// What `MEMORY_MIB` is by default.
pub const DEFAULT_MEMORY_MIB: usize = 512;

/// The least and the most of it that make sense.
pub const MEMORY_MIB: std::ops::RangeInclusive<usize> = 256..=65_536;

/// Bytes that one caller's connection has at most: the heads it has sent, the piece of an answer that is on its way, and
/// what the system keeps for it.
pub const CONNECTION_BYTES: usize = 144 * 1024;

/// The bounds of one process. All but the first grow with the memory that it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizing {
    /// What all of it is a part of.
    pub memory_mib: usize,
    /// The process without any work.
    pub idle: usize,
    /// Tables that are kept.
    pub kept_tables: usize,
    /// Written answers that are kept.
    pub kept_answers: usize,
    /// Trackers' answers while they are read.
    pub upstream: usize,
    /// What trackers' answers become while they are parsed.
    pub parsing: usize,
    /// Rows of tables that are being built and written.
    pub rows: usize,
    /// Results that wait for their caller to read them.
    pub results: usize,
    /// Bodies of requests.
    pub bodies: usize,
    /// Connections of callers, each of [`CONNECTION_BYTES`].
    pub connections: usize,
    /// Requests that are being answered.
    pub requests: usize,
}

impl Sizing {
    /// The bounds of a process with so much memory.
    pub const fn of(memory_mib: usize) -> Self {
        // In parts of 512, so that the default reads in mebibytes.
        const fn part(memory_mib: usize, of_512: usize) -> usize {
            memory_mib * of_512 * (MIB / DEFAULT_MEMORY_MIB)
        }
        Self {
            memory_mib,
            idle: part(memory_mib, 48),
            kept_tables: part(memory_mib, 32),
            kept_answers: part(memory_mib, 32),
            upstream: part(memory_mib, 64),
            parsing: part(memory_mib, 40),
            rows: part(memory_mib, 112),
            results: part(memory_mib, 32),
            bodies: part(memory_mib, 8),
            connections: memory_mib * 2,
            requests: memory_mib * 2,
        }
    }

    /// All of it together.
    pub const fn sum(&self) -> usize {
        self.idle
            + self.kept_tables
            + self.kept_answers
            + self.upstream
            + self.parsing
            + self.rows
            + self.results
            + self.bodies
            + self.connections * CONNECTION_BYTES
    }
}

impl Default for Sizing {
    fn default() -> Self {
        Self::of(DEFAULT_MEMORY_MIB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_add_up_to_the_memory_there_is() {
        for memory in [*MEMORY_MIB.start(), DEFAULT_MEMORY_MIB, 1_000, *MEMORY_MIB.end()] {
            let sizing = Sizing::of(memory);
            assert!(sizing.sum() <= memory * MIB, "{memory}: {}", sizing.sum() / MIB);
            assert!(sizing.sum() > memory * MIB * 9 / 10, "{memory}: {}", sizing.sum() / MIB);
        }
    }

    #[test]
    fn the_page_for_operators_has_the_same_table() {
        let page = include_str!("../docs/operations.md");
        let (_, table) = page.split_once("| what | size at 512 MiB |").expect("the table");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let sizes: Vec<usize> = rows
            .map(|row| {
                let cell = row.split('|').nth(2).expect("a size").trim_matches([' ', '*']);
                cell.split_once(" MiB").expect("mebibytes").0.parse().expect("a number")
            })
            .collect();
        let all = Sizing::default();
        let connections = all.connections * CONNECTION_BYTES;
        let (kept, sum) = ([all.kept_tables, all.kept_answers], all.sum());
        let made = [all.upstream, all.parsing, all.rows, all.results, all.bodies];
        let expected = [&[all.idle][..], &kept, &made, &[connections, sum]].concat();
        assert_eq!(sizes, expected.iter().map(|bytes| bytes / MIB).collect::<Vec<_>>());
    }
}
