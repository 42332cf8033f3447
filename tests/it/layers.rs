//! The layers of the crate: no module imports from one above its own.

use std::fs;
use std::path::{Path, PathBuf};

/// All modules of the crate's root, from the lowest layer up.
const LAYERS: [&str; 24] = [
    // Calls of what the program has given to us.
    "callback",
    // What everything is about: paths, batches, checksums, positions.
    "values",
    "error",
    // Files of bytes that are not durable yet.
    "spool",
    "metrics",
    // HTTP without requests of OSS.
    "wire",
    // The interface between exactness and the wire.
    "store",
    "credentials",
    "client",
    // The rules: what an answer proves, what may be tried again, when an append is due.
    "engine",
    // One object, exactly once.
    "drive",
    // Which object, and in which form.
    "stage",
    // The buffer, and who waits for what.
    "writer",
    "rolling",
    "keyed",
    "log",
    // The way back.
    "reader",
    // Finished objects.
    "compact",
    // Files and objects beside each other.
    "verify",
    // Files that grow, into objects.
    "follow",
    // Beside all that: a server and a store for tests, and what benchmarks measure.
    "emulator",
    "testing",
    "internals",
    // Only text.
    "guide",
];

/// The number of a layer.
fn layer(module: &str) -> usize {
    let found = LAYERS.iter().position(|layer| *layer == module);
    found.unwrap_or_else(|| panic!("{module} is in no layer"))
}

/// All files of the library below `folder`, without the command.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("bin") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The code of a file, without comments and unit tests.
fn code(text: &str) -> String {
    let lines = text.lines().take_while(|line| {
        !["#[cfg(test)]", "#![cfg(test)]", "#[cfg(all(test"]
            .iter()
            .any(|tests| line.starts_with(tests))
    });
    let lines = lines.map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules of the crate's root that the code names.
fn imports(code: &str) -> impl Iterator<Item = &str> {
    code.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
        &rest[..end.unwrap_or(rest.len())]
    })
}

#[test]
fn no_module_imports_from_a_layer_above_its_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 100);
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&root).unwrap();
        let own = inside.components().next().unwrap().as_os_str();
        let own = own.to_str().unwrap().trim_end_matches(".rs");
        if own == "lib" {
            continue;
        }
        let text = code(&fs::read_to_string(&file).unwrap());
        for module in imports(&text) {
            if layer(module) > layer(own) {
                wrong.push(format!("{} imports from {module}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_a_file_imports_is_found() {
    let text = "use crate::writer::{A, B}; // crate::log\nfn f() { crate::store::g() }\n\
                #[cfg(test)]\nmod tests { use crate::emulator; }";
    let found = code(text);
    let found: Vec<_> = imports(&found).collect();
    assert_eq!(found, ["writer", "store"]);
}
