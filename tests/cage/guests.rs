//! Guests that no toolchain makes, written as WebAssembly text: a start function, an allocator or a destructor that never
//! ends, a crowd of memories, a component that takes minutes to compile. What must become of them stands in the tests.

use tests::repository;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What the guests here may import and export beside the contract. WASI is written out as far as it is used.
const WORLD: &str = r"
package test:cage;

world guest {
    include agent:integration/agent-integration@0.1.0;
    import wasi:random/random@0.2.0;
    import wasi:clocks/monotonic-clock@0.2.0;
    import wasi:io/poll@0.2.0;
    export things;
}

interface things {
    resource thing { constructor(); }
}

package wasi:random@0.2.0 {
    interface random { get-random-bytes: func(len: u64) -> list<u8>; }
}

package wasi:io@0.2.0 {
    interface poll { resource pollable; }
}

package wasi:clocks@0.2.0 {
    interface monotonic-clock {
        use wasi:io/poll@0.2.0.{pollable};
        subscribe-duration: func(when: u64) -> pollable;
    }
}
";

const MANIFEST: &str = r#"{"schema":1,"name":"wat","version":"1.0.0","ref_type":"wat","config":{"type":"object"}}"#;

/// What a guest is made of. Each part is WebAssembly text.
#[derive(Default)]
pub struct Parts<'a> {
    /// Imports, which stand before everything else.
    pub imports: &'a str,
    /// Anything beside the functions of the contract.
    pub more: &'a str,
    /// The body of `cabi_realloc`; `$size` is what is asked for. The default is an allocator that never frees.
    pub realloc: Option<&'a str>,
    /// The body of `describe` before it returns.
    pub describe: &'a str,
    /// The body of `export` before it returns `{}`.
    pub export: &'a str,
    /// The destructor of a resource of its own, `$new_thing` and `$drop_thing` being imported.
    pub destructor: Option<&'a str>,
    /// Pages of its memory.
    pub pages: u32,
}

impl Parts<'_> {
    /// The core module, as text.
    pub fn text(&self) -> String {
        let bump = "(global.set $top (i32.and (i32.add (i32.add (global.get $top) (local.get $size)) (i32.const 7)) (i32.const -8)))";
        let realloc = self.realloc.unwrap_or(bump);
        let Parts { imports, more, describe, export, .. } = self;
        let destructor = self.destructor.unwrap_or_default();
        let pages = self.pages.max(2);
        let manifest = MANIFEST.replace('"', "\\22");
        let length = MANIFEST.len();
        let unused = ["validate-config", "onboard-export", "mutate", "webhook"];
        let parameters = ["i32 i32", "i32 i32 i32 i32", "i32 i32 i32 i32 i32 i32", "i32 i32 i32 i32 i32 i32"];
        let unused: String = unused
            .iter()
            .zip(parameters)
            .map(|(name, parameters)| {
                format!(
                    "(func (export \"agent:integration/integration@0.1.0#{name}\") (param {parameters}) (result i32) unreachable)\n"
                )
            })
            .collect();
        // At 16 the answer to `describe`, at 32 that to `export`, at 64 its text, at 1024 the manifest.
        format!(
            r#"(module $guest
            (import "[export]test:cage/things" "[resource-new]thing" (func $new_thing (param i32) (result i32)))
            (import "[export]test:cage/things" "[resource-drop]thing" (func $drop_thing (param i32)))
            {imports}
            (memory (export "memory") {pages})
            (global $top (mut i32) (i32.const 4096))
            (data (i32.const 16) "\00\04\00\00\{length:02x}\00\00\00")
            (data (i32.const 32) "\00\00\00\00\40\00\00\00\02\00\00\00")
            (data (i32.const 64) "{{}}")
            (data (i32.const 1024) "{manifest}")
            (func $cabi_realloc (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
                (local $given i32)
                (local.set $given (global.get $top))
                {realloc}
                (local.get $given))
            (func $describe (export "agent:integration/integration@0.1.0#describe") (result i32) {describe} (i32.const 16))
            (func $export (export "agent:integration/integration@0.1.0#export") (param i32 i32) (result i32)
                {export} (i32.const 32))
            {unused}
            (func $destructor (export "test:cage/things#[dtor]thing") (param i32) {destructor})
            (func (export "test:cage/things#[constructor]thing") (result i32) unreachable)
            {more})"#
        )
    }

    /// The component.
    pub fn component(&self) -> Vec<u8> {
        component(&self.text())
    }
}

/// Makes a component of a core module.
pub fn component(module: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}"));
    let mut resolve = Resolve::default();
    resolve.push_dir(repository().join("wit")).unwrap();
    let package = resolve.push_str("cage.wit", WORLD).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .unwrap()
        .encode()
        .unwrap_or_else(|error| panic!("{error:?}"))
}

/// Does nothing wrong.
pub fn good() -> Vec<u8> {
    Parts::default().component()
}

const LOOP: &str = "(loop $again (br $again))";

pub fn loops_in_start() -> Vec<u8> {
    Parts { more: "(func $begin (loop $again (br $again))) (start $begin)", ..Parts::default() }.component()
}

pub fn loops_in_realloc() -> Vec<u8> {
    Parts { realloc: Some(LOOP), ..Parts::default() }.component()
}

pub fn loops_in_export() -> Vec<u8> {
    Parts { export: LOOP, ..Parts::default() }.component()
}

pub fn loops_in_destructor() -> Vec<u8> {
    let export = "(call $drop_thing (call $new_thing (i32.const 1)))";
    Parts { export, destructor: Some(LOOP), ..Parts::default() }.component()
}

/// The host allocates in the guest while a host call returns; this allocator does not come back from the second time on
/// (the first is for the configuration).
pub fn loops_in_realloc_of_a_host_call() -> Vec<u8> {
    let realloc = "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (if (i32.gt_u (global.get $calls) (i32.const 1)) (then (loop $again (br $again))))";
    let imports = r#"(import "agent:integration/state@0.1.0" "get" (func $get (param i32 i32 i32)))"#;
    Parts {
        imports,
        realloc: Some(realloc),
        more: "(global $calls (mut i32) (i32.const 0))",
        // An empty key is refused, with a text.
        export: "(call $get (i32.const 64) (i32.const 0) (i32.const 128))",
        ..Parts::default()
    }
    .component()
}

/// Thirty memories that all grow, a page at a time, until none is given.
pub fn many_memories_grow() -> Vec<u8> {
    let memories: String = (0..30).map(|n| format!("(memory $m{n} 1)")).collect();
    let grow: String = (0..30)
        .map(|n| format!("(if (i32.eq (memory.grow $m{n} (i32.const 16)) (i32.const -1)) (then unreachable))"))
        .collect();
    let export = format!("(loop $again {grow} (br $again))");
    Parts { more: &memories, export: &export, ..Parts::default() }.component()
}

pub fn too_many_memories() -> Vec<u8> {
    let memories: String = (0..40).map(|n| format!("(memory $m{n} 1)")).collect();
    Parts { more: &memories, ..Parts::default() }.component()
}

pub fn too_many_tables() -> Vec<u8> {
    let tables: String = (0..300).map(|n| format!("(table $t{n} 1 funcref)")).collect();
    Parts { more: &tables, ..Parts::default() }.component()
}

pub fn large_table() -> Vec<u8> {
    Parts { more: "(table 9000000 funcref)", ..Parts::default() }.component()
}

pub fn recurses() -> Vec<u8> {
    Parts { more: "(func $deeper (call $deeper))", export: "(call $deeper)", ..Parts::default() }.component()
}

/// Asks for four GiB of random bytes at once.
pub fn much_random() -> Vec<u8> {
    let imports = r#"(import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))"#;
    Parts { imports, export: "(call $random (i64.const 4294967296) (i32.const 128))", ..Parts::default() }.component()
}

/// Sets one timer after the other and lets go of none.
pub fn leaks_timers() -> Vec<u8> {
    let imports =
        r#"(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))"#;
    let export = "(loop $again (drop (call $timer (i64.const 1000000000000))) (br $again))";
    Parts { imports, export, ..Parts::default() }.component()
}

/// Traps below functions that have names.
pub fn traps_by_name() -> Vec<u8> {
    Parts {
        more: "(func $innermost_of_all unreachable) (func $in_between (call $innermost_of_all))",
        export: "(call $in_between)",
        ..Parts::default()
    }
    .component()
}

/// Many functions, each with many locals and a body that gives the register allocator work: small, and long to compile. They
/// stand in so many modules, all the same, beside that of a good guest: copied, because to write them takes as long.
pub fn long_to_compile(functions: usize, locals: usize, modules: usize) -> Vec<u8> {
    use std::fmt::Write;
    let mut body = String::new();
    for local in 1..locals {
        let _ = write!(
            body,
            "(local.set {local} (i64.add (i64.mul (local.get {}) (i64.const {local})) (local.get {})))",
            local - 1,
            (local * 7919) % locals
        );
        if local % 4 == 0 {
            let _ = write!(body, "(br_if 0 (i64.eqz (local.get {local})))");
        }
    }
    // All are live to the end.
    for local in 0..locals {
        let _ = write!(body, "(i64.store (i32.const {}) (local.get {local}))", 8 * (local % 1000));
    }
    let declared = " i64".repeat(locals);
    let function = format!("(func (local{declared}) (block {body}))");
    let module = wat::parse_str(format!("(module (memory 1) {})", function.repeat(functions))).unwrap();
    let section = section(CORE_MODULE, &module);
    [good(), section.repeat(modules)].concat()
}

/// The section of a component that holds a core module.
const CORE_MODULE: u8 = 1;

/// A section: its kind, the length of what is in it (seven bits a byte, the lowest first), and that.
fn section(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    let mut length = content.len();
    while length > 0x7f {
        bytes.push(0x80 | (length & 0x7f) as u8);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(content);
    bytes
}

/// As deep as a validator lets it be, and a jump table as wide.
pub fn deep_and_wide(depth: usize, targets: usize) -> Vec<u8> {
    let table = format!("(br_table {} (i32.const 0))", "0 ".repeat(targets));
    let body = format!("{}{table}{}", "(block ".repeat(depth), ")".repeat(depth));
    Parts { more: &format!("(func $deep {body})"), ..Parts::default() }.component()
}

/// So many functions that do nothing.
pub fn many_functions(count: usize) -> Vec<u8> {
    Parts { more: &"(func)".repeat(count), ..Parts::default() }.component()
}

/// Waits for an answer of a server: in `send`, in `take`, or in `wait-any`.
pub fn waits_for(url: &str, how: &str) -> Vec<u8> {
    let imports = r#"
        (import "agent:integration/http@0.1.0" "send"
            (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
        (import "agent:integration/http@0.1.0" "submit"
            (func $submit (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
        (import "agent:integration/http@0.1.0" "[static]pending.take" (func $take (param i32 i32)))
        (import "agent:integration/http@0.1.0" "wait-any" (func $wait (param i32 i32 i32 i32)))"#;
    let data = format!(r#"(data (i32.const 128) "GET") (data (i32.const 512) "{url}")"#);
    let zeros = "(i32.const 0)".repeat(7);
    let request =
        format!("(i32.const 128) (i32.const 3) (i32.const 512) (i32.const {}) {zeros} (i32.const 256)", url.len());
    let export = match how {
        "send" => format!("(call $send {request})"),
        "take" => format!("(call $submit {request}) (call $take (i32.load (i32.const 260)) (i32.const 320))"),
        _ => format!(
            "(call $submit {request}) (call $wait (i32.const 260) (i32.const 1) (i32.const 600000) (i32.const 320))"
        ),
    };
    Parts { imports, more: &data, export: &export, ..Parts::default() }.component()
}

/// Traps in a function with a name of a few hundred bytes that, written out as C++ has it, is longer than any memory: each
/// of its types is made of eight of the one before.
pub fn mangled_name() -> Vec<u8> {
    let back = |number: usize| match number.checked_sub(1) {
        None => "S_".to_owned(),
        Some(digit) => format!("S{}_", char::from_digit(digit as u32, 36).unwrap().to_ascii_uppercase()),
    };
    let types: String = (2..20).map(|last| format!("{}I{}E", back(1), back(last).repeat(8))).collect();
    let name = format!("_Z1fI1aIiiE{types}Evv");
    let more = format!("(func ${name} unreachable)");
    Parts { more: &more, export: &format!("(call ${name})"), ..Parts::default() }.component()
}

/// Traps, and has debug information in which a function is inlined into a function a hundred thousand times over.
pub fn forged_debug_info() -> Vec<u8> {
    let range = b"\0\0\0\0\xff\xff\xff\0";
    // Unit, function, inlined function: each has children and an address range.
    let abbreviations =
        b"\x01\x11\x01\x11\x01\x12\x06\0\0\x02\x2e\x01\x11\x01\x12\x06\0\0\x03\x1d\x01\x11\x01\x12\x06\0\0\0";
    let mut unit = b"\x04\0\0\0\0\0\x04".to_vec();
    for code in [1, 2].into_iter().chain(std::iter::repeat_n(3, 100_000)) {
        unit.push(code);
        unit.extend(range);
    }
    unit.extend(std::iter::repeat_n(0, 100_002));
    let info: Vec<u8> = (unit.len() as u32).to_le_bytes().into_iter().chain(unit).collect();
    let section = |name: &str, bytes: &[u8]| {
        let bytes: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!("(@custom \"{name}\" \"{bytes}\")")
    };
    let more = format!(
        "{} {} (func $trap unreachable)",
        section(".debug_abbrev", abbreviations),
        section(".debug_info", &info)
    );
    Parts { more: &more, export: "(call $trap)", ..Parts::default() }.component()
}

/// A module of a million globals, two hundred times. None of it is memory or table.
pub fn heavy_instances() -> Vec<u8> {
    let leb = |number: usize| {
        [number as u8 | 0x80, (number >> 7) as u8 | 0x80, (number >> 14) as u8 | 0x80, (number >> 21) as u8]
    };
    let mut globals = leb(1_000_000).to_vec();
    globals.extend([0x7f, 0, 0x41, 0, 0x0b].repeat(1_000_000));
    let mut module = b"\0asm\x01\0\0\0\x06".to_vec();
    module.extend(leb(globals.len()));
    module.extend(globals);
    let mut component = good();
    // Its index: those of the component itself come before.
    let modules = wasmparser::Parser::new(0)
        .parse_all(&component)
        .filter(|payload| matches!(payload, Ok(wasmparser::Payload::ModuleSection { .. })));
    let index = modules.count() as u8;
    component.push(1);
    component.extend(leb(module.len()));
    component.extend(module);
    let mut instances = leb(200).to_vec();
    instances.extend([0, index, 0].repeat(200));
    component.push(2);
    component.extend(leb(instances.len()));
    component.extend(instances);
    component
}
