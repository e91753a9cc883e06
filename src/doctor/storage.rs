//! The database, and whether the key ring opens what is in it.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::check::Check;
use crate::clock::millis;
use crate::config::Config;
use crate::connections::inventory::{self, Inventory};
use crate::db::{DatabaseUrl, Db, DbError};
use crate::metrics::Checks;
use crate::telemetry;
use crate::terminal::Progress;
use crate::vault::Vault;
use crate::webhooks;

/// How far clocks may be apart before tokens, leases and other replicas' changes suffer, and before they fail.
const WORTH_A_LOOK: Duration = Duration::from_secs(1);
const TOO_FAR: Duration = Duration::from_secs(30);

const DATABASE: &str = "database";

pub(super) async fn database(config: &Config) -> Vec<Check> {
    if let DatabaseUrl::Sqlite(path) = &config.database_url
        && !path.exists()
    {
        return vec![to_be_made(path)];
    }
    let db = match open(config).await {
        Ok(db) => db,
        Err(error) => return vec![unreachable(config, &error)],
    };
    let started = Instant::now();
    let condition = match db.condition().await {
        Ok(condition) => condition,
        Err(error) => return vec![unreachable(config, &error)],
    };
    let took = started.elapsed();
    let mut checks = vec![Check::ok(DATABASE, format!("{}, answers in {} ms", condition.version, millis(took)))];
    // The database read its clock about half way through the call.
    let here = Timestamp::now().as_microsecond() - i64::try_from(took.as_micros() / 2).unwrap_or_default();
    checks.push(skew(condition.now - here));
    match db.pending_migrations().await {
        Ok(pending) if pending.is_empty() => {
            checks.push(Check::ok("migrations", "all applied"));
            checks.push(written(config, db.try_write().await));
            checks.extend(future(&db).await);
            checks.extend(late_checks(config, &db).await);
            checks.push(keys(&db, Vault::new(config.credentials_keys.clone())).await);
        }
        Ok(pending) => {
            let found = format!("{} pending: {}", pending.len(), pending.join(", "));
            checks.push(Check::warn("migrations", found, "run migrate, or start serve, then look again"));
        }
        Err(error) => checks.push(Check { check: "migrations", ..unreachable(config, &error) }),
    }
    checks
}

async fn open(config: &Config) -> Result<Db, DbError> {
    let url = config.database_url.clone();
    let opened = tokio::task::spawn_blocking(move || Db::open(&url, 2)).await;
    opened.unwrap_or_else(|error| Err(DbError::Unavailable(Box::new(error))))
}

fn unreachable(config: &Config, error: &DbError) -> Check {
    let fix = match &config.database_url {
        DatabaseUrl::Sqlite(path) => mend_file(path),
        DatabaseUrl::Postgres(_) => "start the database, or fix DATABASE_URL and the way to it".to_owned(),
    };
    Check::fail(DATABASE, telemetry::chain(error), fix)
}

fn mend_file(path: &Path) -> String {
    format!(
        "let the service's user own and write {} and its folder, which SQLite writes beside it; if the file itself is \
         damaged, restore a backup",
        path.display()
    )
}

/// Whether SQLite could make the file: one that is no database is made where it would be, and taken away.
fn to_be_made(path: &Path) -> Check {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match try_file_in(folder) {
        Ok(()) => {
            let found = format!("{} is not there yet; serve and migrate make it", path.display());
            Check::ok(DATABASE, found)
        }
        Err(error) => {
            let found =
                format!("{} is not there yet, and cannot be made: {}: {error}", path.display(), folder.display());
            let fix =
                format!("let the service's user own and write the folder {}, or fix DATABASE_URL", folder.display());
            Check::fail(DATABASE, found, fix)
        }
    }
}

fn try_file_in(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".doctor-{:016x}", fastrand::u64(..)));
    std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    std::fs::remove_file(path)
}

fn skew(micros: i64) -> Check {
    const CHECK: &str = "clock_skew";
    let apart = Duration::from_micros(micros.unsigned_abs());
    let fix = "have both machines follow a time server";
    let found = format!("the database's clock is {} ms {}", millis(apart), if micros < 0 { "behind" } else { "ahead" });
    match apart {
        apart if apart > TOO_FAR => Check::fail(CHECK, found, fix),
        apart if apart > WORTH_A_LOOK => Check::warn(CHECK, found, fix),
        _ => Check::ok(CHECK, "the database's clock agrees with this machine's"),
    }
}

/// Whether connections are checked in time, where they are to be checked at all.
async fn late_checks(config: &Config, db: &Db) -> Option<Check> {
    const CHECK: &str = "checks";
    let interval = config.check_interval?;
    Some(match inventory::checks(db).await {
        Ok(due) => judge_checks(due, interval),
        Err(error) => Check::fail(CHECK, telemetry::chain(&error), "look at the database"),
    })
}

fn judge_checks(due: Checks, interval: Duration) -> Check {
    const CHECK: &str = "checks";
    let late = Duration::from_micros(due.late.unsigned_abs());
    let found = match due.due {
        0 => return Check::ok(CHECK, "no connection is due to be checked"),
        due => format!("{due} connections are due to be checked, one of them for {} s", late.as_secs()),
    };
    if late < interval {
        return Check::ok(CHECK, found);
    }
    let fix = "see that a replica runs, and that it can reach the trackers; add one, or raise HEALTH_CHECK_INTERVAL_S";
    Check::warn(CHECK, found, fix)
}

fn written(config: &Config, outcome: Result<(), DbError>) -> Check {
    match outcome {
        Ok(()) => Check::ok("writable", "a row was written and taken back"),
        Err(error) => {
            let fix = match &config.database_url {
                DatabaseUrl::Sqlite(path) => format!("make room, and {}", mend_file(path)),
                DatabaseUrl::Postgres(_) => "make room, and give the service's role the right to write".to_owned(),
            };
            Check::fail("writable", telemetry::chain(&error), fix)
        }
    }
}

/// What was stored in times to come says that a clock went back.
async fn future(db: &Db) -> Option<Check> {
    let latest = db.latest_change().await.ok()??;
    let ahead = Duration::from_micros(u64::try_from(latest - Timestamp::now().as_microsecond()).ok()?);
    (ahead > WORTH_A_LOOK).then(|| {
        Check::warn(
            "clock_went_back",
            format!("the latest change is {} s in the future", ahead.as_secs()),
            "set the clocks of all replicas; leases and caches recover by themselves once that time has come",
        )
    })
}

async fn keys(db: &Db, vault: Vault) -> Check {
    const CHECK: &str = "key_ring";
    let total = webhooks::rotation::count(db).await.unwrap_or_default();
    let mut progress = Progress::new("connections and webhooks opened", total);
    match webhooks::inventory::take(db, &vault, |done| progress.show(done)).await {
        Ok(inventory) => judge(&inventory, vault.active_key_id(), vault.key_ids()),
        Err(error) => Check::fail(CHECK, telemetry::chain(&error), "look at the database"),
    }
}

/// How many connections do not open, and webhooks where some do not.
fn unusable(inventory: &Inventory) -> String {
    let Inventory { rows, unusable, webhooks, unusable_webhooks, .. } = inventory;
    let connections = format!("{unusable} of {rows} connections");
    match unusable_webhooks {
        0 => connections,
        lost => format!("{connections} and {lost} of {webhooks} webhooks"),
    }
}

fn judge<'a>(inventory: &Inventory, active: &str, ring: impl Iterator<Item = &'a str>) -> Check {
    const CHECK: &str = "key_ring";
    let Inventory { readable, keyless, damaged, refused, .. } = inventory;
    let unusable = unusable(inventory);
    if !keyless.is_empty() {
        let lost: Vec<String> = keyless.iter().map(|(key, count)| format!("{count} under `{key}`")).collect();
        let found = format!("the ring has no key for what is sealed {}; {unusable} cannot be used", lost.join(" and "));
        let fix = "put the missing keys at the end of CREDENTIALS_KEYS, or have users enter their credentials again";
        return Check::fail(CHECK, found, fix);
    }
    let foreign: Vec<String> = refused
        .iter()
        .filter(|(key, _)| !readable.contains_key(*key))
        .map(|(key, count)| format!("none of {count} under `{key}`"))
        .collect();
    if !foreign.is_empty() {
        let found = format!("{} opens; {unusable} cannot be used", foreign.join(" and "));
        let fix = "this is probably another key than the one of this name that they were sealed with: put the former \
                    one back into CREDENTIALS_KEYS; if it is the same, restore a backup";
        return Check::fail(CHECK, found, fix);
    }
    if *damaged > 0 {
        let found = format!("damaged blobs: {damaged}; {unusable} cannot be used");
        let fix = "restore a backup, or have users enter their credentials again: this was changed by other hands";
        return Check::fail(CHECK, found, fix);
    }
    let counts: Vec<String> = readable.iter().map(|(key, count)| format!("{count} under `{key}`")).collect();
    let sealed = if counts.is_empty() { "nothing is sealed yet".to_owned() } else { counts.join(", ") };
    let unused: Vec<&str> = ring.filter(|key| *key != active && !readable.contains_key(*key)).collect();
    if readable.keys().any(|key| key != active) {
        let found = format!("{sealed}; the active key is `{active}`");
        return Check::warn(CHECK, found, "run rotate-keys, then take the old key out of CREDENTIALS_KEYS");
    }
    match unused.as_slice() {
        [] => Check::ok(CHECK, format!("{sealed}; everything opens")),
        unused => Check::ok(CHECK, format!("{sealed}; everything opens, nothing needs `{}`", unused.join("`, `"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> std::collections::BTreeMap<String, u64> {
        pairs.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect()
    }

    #[test]
    fn a_ring_is_judged_by_what_it_opens() {
        let shown_at = |inventory: &Inventory| judge(inventory, "k2", ["k2", "k1"].into_iter());
        let fresh = shown_at(&Inventory::default());
        assert_eq!(fresh.status, Verdict::Ok);
        let rotated = shown_at(&Inventory { rows: 2, readable: counts(&[("k2", 6)]), ..Inventory::default() });
        assert_eq!(
            (rotated.status, rotated.found.as_str()),
            (Verdict::Ok, "6 under `k2`; everything opens, nothing needs `k1`")
        );
        let between = shown_at(&Inventory { readable: counts(&[("k1", 2), ("k2", 6)]), ..Inventory::default() });
        assert_eq!(between.status, Verdict::Warn);
        assert!(between.found.contains("2 under `k1`, 6 under `k2`"));
        let lost = shown_at(&Inventory { rows: 3, keyless: counts(&[("k0", 4)]), unusable: 1, ..Inventory::default() });
        assert_eq!(lost.status, Verdict::Fail);
        assert!(lost.found.contains("4 under `k0`") && lost.found.contains("1 of 3 connections cannot"));
        let webhooks =
            Inventory { keyless: counts(&[("k0", 2)]), webhooks: 2, unusable_webhooks: 1, ..Inventory::default() };
        assert!(shown_at(&webhooks).found.contains("0 of 0 connections and 1 of 2 webhooks cannot be used"));
        assert_eq!(shown_at(&Inventory { damaged: 1, ..Inventory::default() }).status, Verdict::Fail);
    }

    #[test]
    fn a_key_that_opens_nothing_of_its_name_is_another_and_one_that_opens_something_is_not() {
        let shown_at = |inventory: &Inventory| judge(inventory, "k1", ["k1", "k0"].into_iter());
        let sealed =
            Inventory { rows: 2, damaged: 8, refused: counts(&[("k1", 8)]), unusable: 2, ..Inventory::default() };
        let another = shown_at(&sealed);
        assert_eq!(another.status, Verdict::Fail);
        assert_eq!(another.found, "none of 8 under `k1` opens; 2 of 2 connections cannot be used");
        assert!(another.fix.is_some_and(|fix| fix.contains("put the former one back")));
        let beside = shown_at(&Inventory { readable: counts(&[("k0", 4)]), ..sealed.clone() });
        assert!(beside.found.starts_with("none of 8 under `k1`"));
        let tampered = shown_at(&Inventory {
            damaged: 1,
            refused: counts(&[("k1", 1)]),
            readable: counts(&[("k1", 7)]),
            ..sealed
        });
        assert!(tampered.found.starts_with("damaged blobs: 1") && tampered.status == Verdict::Fail);
    }

    #[test]
    fn checks_that_are_an_interval_late_are_worth_a_look() {
        let shown_at =
            |due, minutes: i64| judge_checks(Checks { due, late: minutes * 60_000_000 }, Duration::from_secs(3_600));
        assert_eq!(
            [shown_at(0, 0), shown_at(9, 59), shown_at(9, 61)].map(|check| check.status),
            [Verdict::Ok, Verdict::Ok, Verdict::Warn]
        );
        assert!(shown_at(9, 61).found.contains("9 connections") && shown_at(9, 61).found.contains("3660 s"));
    }

    #[test]
    fn clocks_apart_are_judged_by_how_far() {
        let verdicts = [0, -900_000, 2_000_000, -31_000_000].map(|micros| skew(micros).status);
        assert_eq!(verdicts, [Verdict::Ok, Verdict::Ok, Verdict::Warn, Verdict::Fail]);
        assert!(skew(-2_000_000).found.contains("2000 ms behind"));
    }
}
