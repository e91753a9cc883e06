//! The process itself, under the names that dashboards everywhere know.
//!
//! Read from `/proc` by hand: the crate that would do it brings a second copy of what wraps the system calls here.

use prometheus::proto::MetricFamily;

/// What the system says of this process; nothing where it does not say.
#[cfg(not(target_os = "linux"))]
pub(super) fn gather() -> Vec<MetricFamily> {
    Vec::new()
}

/// What the system says of this process; nothing where it does not say.
#[cfg(target_os = "linux")]
pub(super) fn gather() -> Vec<MetricFamily> {
    let registry = prometheus::Registry::new();
    // Names are fixed, so that registering cannot fail.
    let _ = linux::register(&registry);
    registry.gather()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    use prometheus::{Counter, Gauge, Registry};
    use rustix::param::clock_ticks_per_second;
    use rustix::process::{Resource, getrlimit};

    pub(super) fn register(registry: &Registry) -> prometheus::Result<()> {
        let gauge = |name: &str, help: &str, value: Option<f64>| -> prometheus::Result<()> {
            let Some(value) = value else { return Ok(()) };
            let gauge = Gauge::new(name, help)?;
            gauge.set(value);
            registry.register(Box::new(gauge))
        };
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kibibytes = |key: &str| field(&status, key).map(|kibibytes| kibibytes * 1_024.0);
        gauge("process_resident_memory_bytes", "Resident memory.", kibibytes("VmRSS:"))?;
        gauge("process_virtual_memory_bytes", "Virtual memory.", kibibytes("VmSize:"))?;
        gauge("process_threads", "Threads.", field(&status, "Threads:"))?;
        gauge("process_open_fds", "Open file descriptors.", open_files())?;
        gauge("process_max_fds", "The most file descriptors that may be open.", most_files())?;
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        gauge("process_start_time_seconds", "When the process began, in Unix time.", start_time(&stat))?;
        if let Some(seconds) = cpu_seconds(&stat) {
            let counter = Counter::new("process_cpu_seconds_total", "Time on processors.")?;
            counter.inc_by(seconds);
            registry.register(Box::new(counter))?;
        }
        Ok(())
    }

    /// The number behind a key such as `VmRSS:`.
    fn field(status: &str, key: &str) -> Option<f64> {
        status.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
    }

    fn open_files() -> Option<f64> {
        // One of them is the listing itself.
        let open = fs::read_dir("/proc/self/fd").ok()?.count().checked_sub(1)?;
        u32::try_from(open).ok().map(f64::from)
    }

    fn most_files() -> Option<f64> {
        let most = getrlimit(Resource::Nofile).current?;
        u32::try_from(most).ok().map(f64::from)
    }

    /// A field of `/proc/self/stat`, counted from 1 as in its documentation; those from the third on, which come
    /// after the name and its brackets.
    fn nth(stat: &str, number: usize) -> Option<f64> {
        let (_, rest) = stat.rsplit_once(')')?;
        rest.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
    }

    fn ticks_per_second() -> Option<f64> {
        u32::try_from(clock_ticks_per_second()).ok().map(f64::from)
    }

    fn cpu_seconds(stat: &str) -> Option<f64> {
        Some((nth(stat, 14)? + nth(stat, 15)?) / ticks_per_second()?)
    }

    fn start_time(stat: &str) -> Option<f64> {
        let system = fs::read_to_string("/proc/stat").ok()?;
        Some(field(&system, "btime ")? + nth(stat, 22)? / ticks_per_second()?)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn fields_are_found_behind_a_name_with_blanks_and_brackets() {
            let stat = "7 (a) (b c) S 1 7 7 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 9 0 1234 0 0";
            assert_eq!((nth(stat, 14), nth(stat, 15), nth(stat, 22)), (Some(250.0), Some(50.0), Some(1234.0)));
            assert_eq!(nth("", 14), None);
            assert_eq!(field("Name:\tx\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12.0));
            assert_eq!(field("btime 170\n", "btime "), Some(170.0));
        }

        #[test]
        fn this_process_is_older_than_now_and_has_files_open() {
            let stat = fs::read_to_string("/proc/self/stat").expect("this is Linux");
            let started = start_time(&stat).expect("a time");
            let now = f64::from(u32::try_from(jiff::Timestamp::now().as_second()).expect("before 2106"));
            assert!(started > 1.7e9 && started < now + 2.0, "{started}");
            assert!(open_files() > Some(2.0) && open_files() < most_files());
        }
    }
}
