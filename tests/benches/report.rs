//! What benchmarks share: running a process and reading what it used, medians, and the report as a table and as JSON.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// The agent's, for what is measured in this process is to be what runs there; the peers in it have the same.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What a process, with the children that it waited for, used.
#[derive(Serialize, Deserialize)]
pub struct Process {
    pub cpu_secs: f64,
    pub wall_secs: f64,
    /// Of the largest single process.
    pub rss_mib: f64,
}

/// Runs a command to its end. An error if it fails. Not from this process: a child's peak memory counts from before it became
/// another program, and so would be at least as large as the benchmark's own.
pub fn measure(command: &Command) -> Result<Process, Box<dyn std::error::Error>> {
    let output = Command::new(std::env::current_exe()?)
        .arg("--measure")
        .arg(command.get_program())
        .args(command.get_args())
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{command:?} could not be measured").into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The other side of `measure`, in a process of its own.
pub fn measure_here(mut arguments: impl Iterator<Item = String>) -> Result<(), Box<dyn std::error::Error>> {
    let mut command = Command::new(arguments.next().ok_or("no command")?);
    let began = Instant::now();
    let child = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to memory of ours that is large enough; the child is ours and is reaped here only.
    let (pid, usage) = unsafe {
        let pid = libc::wait4(child.id() as libc::pid_t, &raw mut status, 0, usage.as_mut_ptr());
        (pid, usage.assume_init())
    };
    if pid < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    let status = ExitStatus::from_raw(status);
    if !status.success() {
        return Err(format!("{command:?} ended with {status}").into());
    }
    let secs = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let process = Process {
        cpu_secs: secs(usage.ru_utime) + secs(usage.ru_stime),
        wall_secs: began.elapsed().as_secs_f64(),
        rss_mib: usage.ru_maxrss as f64 / 1024.0,
    };
    Ok(serde_json::to_writer(std::io::stdout(), &process)?)
}

/// The proportional share of memory that a process holds.
pub fn pss_mib(pid: u32) -> Result<f64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

pub fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

pub fn quantile(values: &mut [f64], at: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * at).round() as usize).copied().unwrap_or(f64::NAN)
}

/// One figure.
#[derive(Serialize)]
pub struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    bar: Option<f64>,
    better: &'static str,
    met: Option<bool>,
    peer: Option<String>,
    peer_value: Option<f64>,
    ratio: Option<f64>,
    #[serde(skip)]
    aim: &'static str,
}

impl Row {
    pub fn new(name: &str, value: f64, unit: &'static str) -> Row {
        Row {
            name: name.to_owned(),
            value,
            unit,
            bar: None,
            better: "lower",
            met: None,
            peer: None,
            peer_value: None,
            ratio: None,
            aim: "",
        }
    }

    pub fn lower(name: &str, value: f64, unit: &'static str, bar: f64) -> Row {
        Row { bar: Some(bar), met: Some(value <= bar), ..Row::new(name, value, unit) }
    }

    pub fn higher(name: &str, value: f64, unit: &'static str, bar: f64) -> Row {
        Row { bar: Some(bar), better: "higher", met: Some(value >= bar), ..Row::new(name, value, unit) }
    }

    pub fn ratio(name: &str, value: f64, bar: f64) -> Row {
        Row::lower(name, value, "×", bar)
    }

    /// A figure whose bar is a share of a peer's.
    pub fn against(name: &str, value: f64, unit: &'static str, peer: &str, theirs: f64, bar: f64) -> Row {
        Row { bar: Some(bar), met: Some(value <= bar * theirs), ..Row::new(name, value, unit).peer(peer, theirs) }
    }

    pub fn peer(mut self, name: &str, value: f64) -> Row {
        self.peer = Some(name.to_owned());
        self.peer_value = Some(value);
        self.ratio = Some(self.value / value);
        self
    }

    pub fn aim(mut self, aim: &'static str) -> Row {
        self.aim = aim;
        self
    }
}

#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub fn add(&mut self, row: Row) {
        println!("{}: {:.2} {}", row.name, row.value, row.unit);
        self.rows.push(row);
    }

    /// Puts a peer beside a figure that is there.
    pub fn compare(&mut self, name: &str, peer: &str, value: f64) {
        println!("{peer}: {value:.2}");
        for row in self.rows.iter_mut().filter(|row| row.name == name) {
            row.peer = Some(peer.to_owned());
            row.peer_value = Some(value);
            row.ratio = Some(row.value / value);
        }
    }

    /// Prints the table and writes the file.
    pub fn finish(self, area: &str) -> Result<(), Box<dyn std::error::Error>> {
        println!("\n{:<62} {:>10} {:<4} {:>6} {:>5} {:<4} peer", "measure", "value", "", "bar", "aim", "met");
        for row in &self.rows {
            let bar = row.bar.map(|bar| bar.to_string()).unwrap_or_default();
            let met = row.met.map_or("", |met| if met { "yes" } else { "NO" });
            let peer = match (&row.peer, row.peer_value, row.ratio) {
                (Some(peer), Some(value), Some(ratio)) => format!("{peer}: {value:.2} ({ratio:.3} ×)"),
                _ => String::new(),
            };
            println!(
                "{:<62} {:>10.2} {:<4} {:>6} {:>5} {:<4} {peer}",
                row.name, row.value, row.unit, bar, row.aim, met
            );
        }
        std::fs::create_dir_all("target/bench")?;
        std::fs::write(format!("target/bench/{area}.json"), serde_json::to_string_pretty(&self.rows)?)?;
        Ok(())
    }
}
