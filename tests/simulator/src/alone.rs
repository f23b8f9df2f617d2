//! A simulator as a program: flags in pairs, the URL printed, and on until it is ended.

use std::io;
use std::process::ExitCode;

/// Runs one. `set` takes a flag with its value, and says whether there is such a flag; `--port` is taken here. `start` starts
/// it and gives its URL, with whatever must live as long.
pub fn run<Options, Running>(
    usage: &str,
    mut options: Options,
    set: impl Fn(&mut Options, &str, &str) -> Result<bool, String>,
    start: impl FnOnce(u16, Options) -> io::Result<(String, Running)>,
) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{usage}");
        return ExitCode::SUCCESS;
    }
    let started = read(&arguments, &mut options, set)
        .and_then(|port| start(port, options).map_err(|error| format!("port {port}: {error}")));
    match started {
        Ok((url, _running)) => {
            println!("{url}");
            loop {
                std::thread::park();
            }
        }
        Err(why) => {
            eprintln!("error: {why}\n\n{usage}");
            ExitCode::from(2)
        }
    }
}

fn read<Options>(
    arguments: &[String],
    options: &mut Options,
    set: impl Fn(&mut Options, &str, &str) -> Result<bool, String>,
) -> Result<u16, String> {
    let mut port = 0;
    for pair in arguments.chunks(2) {
        let [flag, value] = pair else { return Err(format!("{} needs a value", pair[0])) };
        if flag == "--port" {
            port = value.parse().map_err(|_| format!("{flag} {value}: give a port"))?;
        } else if !set(options, flag, value)? {
            return Err(format!("{flag} is not known"));
        }
    }
    Ok(port)
}

/// A flag's number.
///
/// # Errors
/// It is none.
pub fn number(flag: &str, value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| format!("{flag} {value}: give a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_in_pairs_and_are_known() {
        let read = |line: &str| {
            let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let mut size = 1;
            let set = |size: &mut u64, flag: &str, value: &str| {
                let known = flag == "--size";
                if known {
                    *size = number(flag, value)?;
                }
                Ok(known)
            };
            super::read(&arguments, &mut size, set).map(|port| (port, size))
        };
        assert_eq!(read(""), Ok((0, 1)));
        assert_eq!(read("--size 7 --port 80"), Ok((80, 7)));
        for (line, why) in [
            ("--size", "--size needs a value"),
            ("--size x", "give a number"),
            ("--port 70000", "give a port"),
            ("--seize 1", "--seize is not known"),
        ] {
            assert!(read(line).unwrap_err().contains(why), "{line}");
        }
    }
}
