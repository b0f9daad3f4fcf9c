//! What the system tells of this process, under the names that every exporter uses. Linux; elsewhere there is nothing.

use std::fs;

/// What is known of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Process {
    pub(crate) cpu_seconds: f64,
    pub(crate) resident_bytes: f64,
    pub(crate) virtual_bytes: f64,
    pub(crate) threads: f64,
    pub(crate) started_at: f64,
    pub(crate) open_files: f64,
    pub(crate) most_files: f64,
}

impl Process {
    /// Asks the system.
    pub(crate) fn look() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        let system = fs::read_to_string("/proc/stat").ok()?;
        let open_files = fs::read_dir("/proc/self/fd").ok()?.count();
        let ticks = rustix::param::clock_ticks_per_second();
        let page = rustix::param::page_size();
        #[allow(clippy::cast_precision_loss, reason = "figures for people")]
        let process =
            Self { open_files: open_files as f64, ..Self::read(&stat, &limits, &system, ticks as f64, page as f64)? };
        Some(process)
    }

    /// proc_pid_stat(5): the fields after the command, which may hold anything but ends with the last `)`.
    fn read(stat: &str, limits: &str, system: &str, ticks: f64, page: f64) -> Option<Self> {
        let fields: Vec<f64> =
            stat.rsplit_once(')')?.1.split_whitespace().skip(1).map(|text| text.parse().unwrap_or(0.0)).collect();
        // The first of them is field 4.
        let field = |number: usize| fields.get(number - 4).copied();
        let booted: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / ticks,
            threads: field(20)?,
            started_at: booted + field(22)? / ticks,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page,
            open_files: 0.0,
            most_files: files.split_whitespace().next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_the_manual() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 5000 1048576 25 18446744073709551615";
        let limits =
            "Limit Soft Hard Units\nMax open files            1024                 4096                 files\n";
        let process = Process::read(stat, limits, "cpu 1 2\nbtime 1700000000\n", 100.0, 4096.0).unwrap();
        let want = Process {
            cpu_seconds: 3.0,
            resident_bytes: 102_400.0,
            virtual_bytes: 1_048_576.0,
            threads: 9.0,
            started_at: 1_700_000_050.0,
            open_files: 0.0,
            most_files: 1024.0,
        };
        assert_eq!(process, want);
    }
}
