//! The threat model and its tests: every test that stands for a threat is there.
//!
//! **Invariant:** a threat without a test is a fault, and so is a name that no test has.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::error::Failed;
use crate::house::read;
use crate::workspace::Workspace;

/// The page.
const PAGE: &str = "services/THREATS.md";
/// The head of a table of threats.
const HEAD: &str = "| threat | what stands against it | tests |";

/// What is wrong with the page.
pub(crate) fn faults(workspace: &Workspace) -> Result<Vec<String>, Failed> {
    let mut tests = BTreeSet::new();
    for package in &workspace.packages {
        collect(&workspace.root.join(workspace.place(package)), &mut tests)?;
    }
    Ok(faults_of(&read(&workspace.root.join(PAGE))?, &tests))
}

fn faults_of(page: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let threats = threats(page);
    if threats.is_empty() {
        return vec![format!("{PAGE} names no threat")];
    }
    let mut faults = Vec::new();
    for (threat, named) in threats {
        if named.is_empty() {
            faults.push(format!("{PAGE}: no test stands for: {threat}"));
        }
        let missing = named.into_iter().filter(|name| !tests.contains(*name));
        faults.extend(missing.map(|name| format!("{PAGE} names the test `{name}`, which does not exist")));
    }
    faults
}

/// The rows of the tables of threats, each with the tests that it names.
fn threats(page: &str) -> Vec<(&str, Vec<&str>)> {
    let mut threats = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        if line == HEAD {
            is_inside = true;
        } else if !line.starts_with('|') {
            is_inside = false;
        } else if is_inside && !line.starts_with("|---") {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let threat = cells.next().unwrap_or_default();
            let tests = cells.nth(1).unwrap_or_default();
            threats.push((threat, tests.split('`').skip(1).step_by(2).collect()));
        }
    }
    threats
}

/// Adds the names of every test below a directory.
fn collect(directory: &Path, tests: &mut BTreeSet<String>) -> Result<(), Failed> {
    let failed = |source| Failed::Read {
        path: directory.to_owned(),
        source,
    };
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        // What is linked in or built is another's.
        if path.is_dir() && !path.is_symlink() && !path.ends_with("target") {
            collect(&path, tests)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            tests.extend(tests_in(&read(&path)?).map(str::to_owned));
        }
    }
    Ok(())
}

/// Functions with `#[test]`, `#[tokio::test(…)]` or the like among the attributes and comments above them, and
/// the cases of a table that a macro makes into such: lines that open with a name and a text.
fn tests_in(source: &str) -> impl Iterator<Item = &str> {
    let mut is_test = false;
    let mut is_table = false;
    source.lines().map(str::trim).filter_map(move |line| {
        if let Some(attribute) = line.strip_prefix("#[") {
            let path = attribute.split([']', '(']).next().unwrap_or_default();
            is_test |= path == "test" || path.ends_with("::test");
            return None;
        }
        if line.starts_with("//") {
            return None;
        }
        if !is_test {
            let (name, _) = line.split_once(" \"").filter(|_| is_table)?;
            return is_sentence(name).then_some(name);
        }
        let (_, rest) = line.split_once("fn ")?;
        is_test = false;
        is_table |= rest.starts_with('$');
        rest.split(['(', '<']).next()
    })
}

fn is_sentence(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.contains('_') && name.chars().all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_threat_has_a_test_and_every_test_that_is_named_exists() {
        let faults = faults(&Workspace::load().unwrap()).unwrap();
        assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    }

    #[test]
    fn a_threat_without_a_test_and_a_test_without_a_function_are_faults() {
        let page = format!(
            "| x | y | z |\n| a | b | `c` |\n\n{HEAD}\n|---|---|---|\n| one | x | `there` |\n| two | x | `gone`, `there` |\n| three | x | |\n"
        );
        let source = "#[test]\nfn there() {}\nfn gone() {}\n";
        let tests = tests_in(source).map(str::to_owned).collect();
        assert_eq!(
            faults_of(&page, &tests),
            [
                "services/THREATS.md names the test `gone`, which does not exist",
                "services/THREATS.md: no test stands for: three",
            ]
        );
        assert_eq!(faults_of("", &tests), ["services/THREATS.md names no threat"]);
    }

    #[test]
    fn tests_are_told_from_other_functions() {
        let source = "#[cfg(test)]\nmod tests {\n#[tokio::test(flavor = \"x\")]\n// Why.\n#[ignore]\nasync fn a() {\nfn b() {}\n}\n\
                      #[test]\nfn c<T>(x: T) {}\n#[expect(clippy::test)]\nfn d() {}\n#[test_case]\nfn e() {}";
        assert_eq!(tests_in(source).collect::<Vec<_>>(), ["a", "c"]);
        let table = "a_b \"x\" y\n#[test]\nfn $name() {\nlet x = \"\";\n}\na_c \"x\" y\n    |a_d| \"x\"\n";
        assert_eq!(tests_in(table).collect::<Vec<_>>(), ["$name", "a_c"]);
    }
}
