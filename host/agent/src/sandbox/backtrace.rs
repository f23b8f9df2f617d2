//! A trap's backtrace as its author reads it: the guest's own functions first, each with its place in the source where the
//! component says it; what toolchains and libraries put between is folded into one line.

use wasmtime::WasmBacktrace;

/// Frames shown. A deep recursion repeats itself.
const FRAMES_MAX: usize = 16;

/// Names of folded functions that are told.
const FOLDED_TOLD_MAX: usize = 4;

/// How the names of functions begin that are not the author's: language runtimes, allocators, generated glue.
const NOISE: &[&str] = &[
    "core::",
    "std::",
    "alloc::",
    "<core::",
    "<std::",
    "<alloc::",
    "rust_",
    "__rust",
    "__rustc",
    "panic_",
    "abort",
    "_abort",
    "__cxa",
    "wit_bindgen",
    "agent_sdk::",
    "<agent_sdk::",
    "dlmalloc",
    "malloc",
    "realloc",
    "cabi_",
    "_start",
    "__wasm",
    "__wasi",
    "wasi",
    "wit-component",
    "<unknown",
    "exit",
    "_Exit",
    "hashbrown::",
    "serde_core::",
    "agent:",
];

/// Parts of names that only glue has, wherever they stand.
const GLUE: &[&str] = &["::__export", "_export_", "::__private::", "__link_custom_section", "bindings::exports::"];

/// One frame, or one function that was inlined into it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame {
    name: String,
    place: Option<String>,
}

impl Frame {
    fn is_noise(&self) -> bool {
        NOISE.iter().any(|begin| self.name.starts_with(begin)) || GLUE.iter().any(|part| self.name.contains(part))
    }
}

/// The text of a backtrace; empty if there are no frames.
pub(super) fn readable(trace: &WasmBacktrace) -> String {
    // The engine's own text, which undoes the mangling of names.
    shown(&frames(&trace.to_string()))
}

/// Reads the engine's text: `  3:   0x1f2a - module!function`, below it `at file:line:column`, and `- function` for what was
/// inlined.
fn frames(text: &str) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    for line in text.lines().skip(1) {
        let line = line.trim();
        if let Some(place) = line.strip_prefix("at ") {
            if let Some(frame) = frames.last_mut() {
                frame.place = Some(short_place(place));
            }
            continue;
        }
        let Some(name) = named(line) else { continue };
        frames.push(Frame { name: without_hashes(name), place: None });
    }
    frames
}

/// The name in a line, without number, offset and module.
fn named(line: &str) -> Option<&str> {
    if let Some(inlined) = line.strip_prefix("- ") {
        return Some(inlined);
    }
    let (number, rest) = line.split_once(": ")?;
    number.trim().parse::<u32>().ok()?;
    let rest = rest.trim_start();
    let rest = match rest.split_once(" - ") {
        Some((offset, rest)) if offset.starts_with("0x") => rest,
        _ => rest,
    };
    Some(match rest.split_once('!') {
        // A module's name has no angle brackets; a Rust type may have `!` in its name.
        Some((module, name)) if !module.contains('<') || module == "<unknown>" => name,
        _ => rest,
    })
}

/// `::h0123456789abcdef` at the end of a Rust name, and `[0123456789abcdef]` behind a crate's, say nothing to a person.
fn without_hashes(name: &str) -> String {
    let is_hash = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = match name.rsplit_once("::h") {
        Some((bare, hash)) if is_hash(hash) => bare,
        _ => name,
    };
    let mut parts = name.split('[');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(']') {
            // The crate's hash is not padded.
            Some((hash, rest)) if hash.len() > 8 && hash.len() <= 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
                out.push_str(rest);
            }
            _ => {
                out.push('[');
                out.push_str(part);
            }
        }
    }
    out
}

/// A place without the folders in which others' sources were built.
fn short_place(place: &str) -> String {
    for root in ["/registry/src/", "/rustc/", "/git/checkouts/"] {
        if let Some((_, rest)) = place.split_once(root) {
            // The next part names a registry or a commit.
            return rest.split_once('/').map_or(rest, |(_, rest)| rest).to_owned();
        }
    }
    place.to_owned()
}

fn shown(frames: &[Frame]) -> String {
    let own: Vec<&Frame> = frames.iter().filter(|frame| !frame.is_noise()).collect();
    // Where nothing is the author's, all of it is better than none.
    let (told, folded): (Vec<&Frame>, Vec<&Frame>) = match own.is_empty() {
        true => (frames.iter().collect(), Vec::new()),
        false => (own, frames.iter().filter(|frame| frame.is_noise()).collect()),
    };
    let mut out = String::new();
    let told = repeated(&told);
    for (index, (frame, times)) in told.iter().take(FRAMES_MAX).enumerate() {
        out.push_str(&format!("{index:>4}  {}", frame.name));
        if *times > 1 {
            out.push_str(&format!("  ({times} times)"));
        }
        if let Some(place) = &frame.place {
            out.push_str(&format!("\n      at {place}"));
        }
        out.push('\n');
    }
    if told.len() > FRAMES_MAX {
        out.push_str(&format!("      … {} more frames\n", told.len() - FRAMES_MAX));
    }
    if !folded.is_empty() {
        let mut names: Vec<&str> = Vec::new();
        for frame in &folded {
            if !names.contains(&frame.name.as_str()) {
                names.push(&frame.name);
            }
        }
        let more = if names.len() > FOLDED_TOLD_MAX { ", …" } else { "" };
        let names = names[..names.len().min(FOLDED_TOLD_MAX)].join(", ");
        out.push_str(&format!("      … {} frames of runtime and libraries left out ({names}{more})\n", folded.len()));
    }
    out.trim_end().to_owned()
}

/// Frames with how often each follows itself.
fn repeated<'a>(frames: &[&'a Frame]) -> Vec<(&'a Frame, usize)> {
    let mut out: Vec<(&Frame, usize)> = Vec::new();
    for frame in frames {
        match out.last_mut() {
            Some((last, times)) if last == frame => *times += 1,
            _ => out.push((frame, 1)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authors_frames_stand_first_and_the_rest_is_folded() {
        let text = "error while executing at wasm backtrace:
    0:   0x2a1f - guest.wasm!abort
    1:   0x29f0 - guest.wasm!std[d123b7a1a2ed147]::process::abort::h0123456789abcdef
                    at /rustc/0abc/library/std/src/process.rs:2542:5
    2:   0x1f00 - guest.wasm!core::panicking::panic_fmt::h00000000000000aa
    3:    0x9aa - guest.wasm!mine::page::parse::hdeadbeefdeadbeef
                    at /home/me/mine/src/page.rs:12:5
                - mine::page::all
                    at /home/me/mine/src/page.rs:40:9
    4:    0x9bb - guest.wasm!agent:integration/integration@0.1.0#export";
        assert_eq!(
            shown(&frames(text)),
            "   0  mine::page::parse
      at /home/me/mine/src/page.rs:12:5
   1  mine::page::all
      at /home/me/mine/src/page.rs:40:9
      … 4 frames of runtime and libraries left out (abort, std::process::abort, core::panicking::panic_fmt, \
             agent:integration/integration@0.1.0#export)"
        );
    }

    #[test]
    fn recursion_is_counted_and_what_is_all_noise_is_shown() {
        let deep: String = (0..100).map(|i| format!("\n  {i}: 0x1 - a.wasm!deep::down")).collect();
        assert_eq!(shown(&frames(&format!("error:{deep}"))), "   0  deep::down  (100 times)");
        assert_eq!(shown(&frames("error:\n  0: 0x1 - a.wasm!abort")), "   0  abort");
        assert_eq!(shown(&frames("error:")), "");
        let odd = frames("error:\n  0: <unknown>!<wasm function 7>\n  1: a.wasm!<a::B as c::D>::e");
        assert_eq!((odd[0].name.as_str(), odd[1].name.as_str()), ("<wasm function 7>", "<a::B as c::D>::e"));
    }

    #[test]
    fn places_lose_the_folders_of_others() {
        for (place, expected) in [
            ("/h/.cargo/registry/src/index-1/serde-1.0/src/lib.rs:1:2", "serde-1.0/src/lib.rs:1:2"),
            ("/rustc/59807616e/library/core/src/panicking.rs:75:14", "library/core/src/panicking.rs:75:14"),
            ("src/lib.rs:1", "src/lib.rs:1"),
        ] {
            assert_eq!(short_place(place), expected);
        }
    }
}
