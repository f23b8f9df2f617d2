//! What the host keeps for a component's core instances beside their memories and tables: globals, and a place for each
//! function that can be pointed to. The engine asks nobody for that memory, and one module of a few megabytes can be
//! instantiated hundreds of times; so it is reckoned from the component's file, from above, before anything runs.

use wasmparser::{ComponentInstance, Encoding, Instance, Parser, Payload};

/// Bytes of a global, and of an import (a function's is the largest).
const GLOBAL_BYTES: u64 = 16;
const IMPORT_BYTES: u64 = 40;
/// Bytes of a function that can be pointed to.
const REFERENCE_BYTES: u64 = 40;
/// Bytes of a memory or table, of a segment, and of an instance that has none of it.
const PART_BYTES: u64 = 64;
const SEGMENT_BYTES: u64 = 8;
const INSTANCE_BYTES: u64 = 2 << 10;

/// What all core instances of a component take together, bytes. What cannot be read counts nothing: it will not compile.
pub(super) fn of(component: &[u8]) -> u64 {
    // What a component gets from another is not known where it is used: that counts as the heaviest that there is.
    let mut first = Weigher::default();
    let _ = first.read(component);
    let mut second =
        Weigher { heaviest: first.heaviest, heaviest_component: first.heaviest_component, ..Weigher::default() };
    let _ = second.read(component);
    second.outermost
}

/// What is being read: a module, or a component with what stands in it.
enum Level {
    Module { bytes: u64, functions: u64, pointed_to: u64 },
    Component { modules: Vec<u64>, components: Vec<u64>, bytes: u64 },
}

#[derive(Default)]
struct Weigher {
    levels: Vec<Level>,
    heaviest: u64,
    heaviest_component: u64,
    outermost: u64,
}

impl Level {
    /// A section of the module that is being read.
    fn takes_part_of_module(&mut self, payload: Payload<'_>) {
        let Level::Module { bytes, functions, pointed_to } = self else { return };
        let part = |count: u32, each: u64| u64::from(count) * each;
        match payload {
            Payload::ImportSection(imports) => {
                *bytes += part(imports.count(), IMPORT_BYTES);
                *functions += u64::from(imports.count());
            }
            Payload::FunctionSection(defined) => *functions += u64::from(defined.count()),
            Payload::TableSection(tables) => *bytes += part(tables.count(), PART_BYTES),
            Payload::MemorySection(memories) => *bytes += part(memories.count(), PART_BYTES),
            Payload::GlobalSection(globals) => {
                *bytes += part(globals.count(), GLOBAL_BYTES);
                *pointed_to += u64::from(globals.count());
            }
            Payload::ExportSection(exports) => *pointed_to += u64::from(exports.count()),
            Payload::ElementSection(segments) => {
                *bytes += part(segments.count(), SEGMENT_BYTES);
                // Each item takes a byte at least.
                *pointed_to += segments.range().len() as u64;
            }
            Payload::DataSection(segments) => *bytes += part(segments.count(), SEGMENT_BYTES),
            _ => {}
        }
    }

    /// A section of the component that is being read. What comes from elsewhere is taken for the heaviest so far.
    fn takes_part_of_component(
        &mut self,
        payload: Payload<'_>,
        heaviest: u64,
        heaviest_component: u64,
    ) -> wasmparser::Result<()> {
        let Level::Component { modules, components, bytes } = self else { return Ok(()) };
        match payload {
            Payload::InstanceSection(instances) => {
                for instance in instances {
                    let Instance::Instantiate { module_index, .. } = instance? else { continue };
                    let module = modules.get(module_index as usize).copied().unwrap_or(heaviest);
                    *bytes = bytes.saturating_add(module);
                }
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances {
                    let ComponentInstance::Instantiate { component_index, .. } = instance? else {
                        continue;
                    };
                    let component = components.get(component_index as usize).copied().unwrap_or(heaviest_component);
                    *bytes = bytes.saturating_add(component);
                }
            }
            // Each may add a module or component of elsewhere to those that are numbered here.
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases {
                    use wasmparser::{ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind};
                    match alias? {
                        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. }
                        | ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, .. } => {
                            modules.push(heaviest);
                        }
                        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. }
                        | ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, .. } => {
                            components.push(heaviest_component);
                        }
                        _ => {}
                    }
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    match import?.ty {
                        wasmparser::ComponentTypeRef::Module(_) => modules.push(heaviest),
                        wasmparser::ComponentTypeRef::Component(_) => components.push(heaviest_component),
                        _ => {}
                    }
                }
            }
            Payload::ComponentExportSection(exports) => {
                // An export adds what it exports once more.
                for export in exports {
                    match export?.kind {
                        wasmparser::ComponentExternalKind::Module => modules.push(heaviest),
                        wasmparser::ComponentExternalKind::Component => components.push(heaviest_component),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Weigher {
    fn read(&mut self, bytes: &[u8]) -> wasmparser::Result<()> {
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            match &payload {
                Payload::Version { encoding: Encoding::Module, .. } => {
                    self.levels.push(Level::Module { bytes: INSTANCE_BYTES, functions: 0, pointed_to: 0 });
                }
                Payload::Version { encoding: Encoding::Component, .. } => {
                    self.levels.push(Level::Component { modules: Vec::new(), components: Vec::new(), bytes: 0 });
                }
                Payload::End(_) => self.ends(),
                _ => {}
            }
            match self.levels.last_mut() {
                Some(level @ Level::Module { .. }) => level.takes_part_of_module(payload),
                Some(level @ Level::Component { .. }) => {
                    level.takes_part_of_component(payload, self.heaviest, self.heaviest_component)?;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// A module or component is read to its end.
    fn ends(&mut self) {
        match self.levels.pop() {
            Some(Level::Module { bytes, functions, pointed_to }) => {
                let module = bytes.saturating_add(functions.min(pointed_to) * REFERENCE_BYTES);
                self.heaviest = self.heaviest.max(module);
                if let Some(Level::Component { modules, .. }) = self.levels.last_mut() {
                    modules.push(module);
                }
            }
            Some(Level::Component { bytes, .. }) => match self.levels.last_mut() {
                Some(Level::Component { components, .. }) => {
                    self.heaviest_component = self.heaviest_component.max(bytes);
                    components.push(bytes);
                }
                _ => self.outermost = bytes,
            },
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighed(text: &str) -> u64 {
        of(&wat::parse_str(text).expect("a component"))
    }

    #[test]
    fn each_instance_counts_and_so_does_each_of_a_component() {
        let globals = "(global i32 (i32.const 0))".repeat(100);
        let module = INSTANCE_BYTES + 100 * GLOBAL_BYTES;
        assert_eq!(weighed(&format!("(component (core module {globals}))")), 0);
        let one = format!("(core module $m {globals}) (core instance (instantiate $m))");
        assert_eq!(weighed(&format!("(component {one} (core instance (instantiate $m)))")), 2 * module);
        let inner = format!("(component $c {one})");
        let twice = "(instance (instantiate $c))".repeat(2);
        assert_eq!(weighed(&format!("(component {inner} {twice})")), 2 * module);
        // From outside.
        let outer = format!(
            "(component (core module $m {globals})
                (component $c (alias outer 1 $m (core module $n)) (core instance (instantiate $n)))
                (instance (instantiate $c)))"
        );
        assert_eq!(weighed(&outer), module);
    }

    #[test]
    fn what_is_not_a_component_weighs_nothing() {
        assert_eq!((of(b""), of(b"\0asm"), of(b"<html>")), (0, 0, 0));
    }
}
