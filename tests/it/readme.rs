//! README, its translation and the guides: both languages say the same, it is short, and what it names
//! is there.

use std::fs;
use std::path::{Path, PathBuf};

const ENGLISH: &str = include_str!("../../README.md");
const CHINESE: &str = include_str!("../../README.zh-CN.md");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README, its translation and the guides, each with the directory that its links start at.
fn texts() -> Vec<(PathBuf, String)> {
    let guides = fs::read_dir(root().join("src/guide")).unwrap();
    let guides = guides.map(|entry| entry.unwrap().path());
    let guides = guides.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let readmes = ["README.md", "README.zh-CN.md"].map(|name| root().join(name));
    let paths: Vec<_> = readmes.into_iter().chain(guides).collect();
    assert_eq!(paths.len(), 9);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// A text in parts: those at odd places are code blocks, with the language in front.
fn parts(text: &str) -> Vec<&str> {
    text.split("```").collect()
}

fn code_blocks(text: &str) -> Vec<&str> {
    parts(text).into_iter().skip(1).step_by(2).collect()
}

/// What is said outside of code blocks, from each heading to the next.
fn sections(text: &str) -> Vec<String> {
    let prose: Vec<_> = parts(text).into_iter().step_by(2).collect();
    let mut sections = vec![String::new()];
    for line in prose.concat().lines() {
        if line.starts_with('#') {
            sections.push(String::new());
        }
        let section = sections.last_mut().unwrap();
        section.push_str(line);
        section.push('\n');
    }
    sections
}

fn level(section: &str) -> usize {
    section.chars().take_while(|c| *c == '#').count()
}

/// All numbers in it, sorted: a sentence may have another order in the other language.
fn numbers(text: &str) -> Vec<&str> {
    let mut found: Vec<_> = text
        .split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .map(|word| word.trim_matches('.'))
        .filter(|word| !word.is_empty())
        .collect();
    found.sort_unstable();
    found
}

/// Where its links lead.
fn links(text: &str) -> Vec<&str> {
    let prose: Vec<_> = parts(text).into_iter().step_by(2).collect();
    let ends = prose.iter().flat_map(|part| part.split("](").skip(1));
    ends.map(|rest| rest.split(')').next().unwrap()).collect()
}

#[test]
fn both_languages_say_the_same() {
    assert_eq!(code_blocks(ENGLISH), code_blocks(CHINESE));
    let (english, chinese) = (sections(ENGLISH), sections(CHINESE));
    assert_eq!(english.len(), chinese.len());
    for (english, chinese) in english.iter().zip(&chinese) {
        assert_eq!(level(english), level(chinese), "{english}{chinese}");
        assert_eq!(numbers(english), numbers(chinese), "{english}{chinese}");
        // Rows, items and their code.
        for mark in ["\n| ", "\n- "] {
            let count = |text: &str| text.matches(mark).count();
            assert_eq!(count(english), count(chinese), "{english}{chinese}");
        }
        let code = |text: &'_ str| {
            let mut code: Vec<_> = text.split('`').skip(1).step_by(2).collect();
            code.sort_unstable();
            code.join(" ")
        };
        assert_eq!(code(english), code(chinese));
    }
    let other = |links: Vec<&'static str>| -> Vec<_> {
        let own = |link: &&str| !link.starts_with("README");
        links.into_iter().filter(own).collect()
    };
    assert_eq!(other(links(ENGLISH)), other(links(CHINESE)));
    assert!(ENGLISH.contains("](README.zh-CN.md)") && CHINESE.contains("](README.md)"));
}

#[test]
fn it_is_short() {
    for text in [ENGLISH, CHINESE] {
        assert!(text.lines().count() <= 150);
        assert!(text.len() <= 9_000);
    }
}

#[test]
fn links_lead_to_files_and_headings_that_are_there() {
    for (path, text) in texts() {
        for link in links(&text) {
            if let Some(anchor) = link.strip_prefix('#') {
                let headings = sections(&text);
                let mut headings = headings.iter().filter_map(|text| text.lines().next());
                let name = |heading: &str| {
                    let heading = heading.trim_start_matches(['#', ' ']);
                    heading.to_lowercase().replace(' ', "-")
                };
                assert!(headings.any(|heading| name(heading) == anchor), "{link}");
            } else if !link.contains("://") {
                let target = path.parent().unwrap().join(link);
                assert!(target.exists(), "{link} in {}", path.display());
            }
        }
    }
}

#[test]
fn the_tests_that_are_named_exist() {
    let mut named = 0;
    for (path, text) in texts() {
        let mut source = String::new();
        for line in text.lines().filter(|line| line.starts_with("| ")) {
            for code in line.split('`').skip(1).step_by(2) {
                let (file, test) = match code.split_once(": ") {
                    Some((file, test)) => (Some(file), Some(test)),
                    None if code.contains(".rs") => (Some(code), None),
                    None if source.is_empty() => continue,
                    None => (None, Some(code)),
                };
                if let Some(file) = file.filter(|file| file.ends_with(".rs")) {
                    let read = fs::read_to_string(root().join(file));
                    source = read.unwrap_or_else(|error| panic!("{file}: {error}"));
                }
                if let Some(test) = test {
                    let there = source.contains(&format!("fn {test}("));
                    assert!(there, "{test} in {}", path.display());
                    named += 1;
                }
            }
            source.clear();
        }
    }
    assert!(named > 50, "{named}");
}
