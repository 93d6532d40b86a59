//! Help, completions and man pages.

use crate::desk::{bare, finish};

#[track_caller]
fn text(args: &[&str]) -> String {
    let told = finish(&mut bare(args), "");
    assert_eq!(told.code, 0, "{args:?}: {}", told.stderr);
    told.stdout
}

/// The commands that the help of `curfew` or of one of its groups lists.
fn commands(args: &[&str]) -> Vec<String> {
    let help = text(&[args, &["--help"]].concat());
    let lines = help.lines().take_while(|line| !line.starts_with("Options"));
    // A name stands alone behind two spaces; what goes on from the line before stands further right.
    let name = |line: &str| {
        let line = line.strip_prefix("  ")?;
        let name = line.split_whitespace().next()?;
        let is_name = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && !name.starts_with('-');
        (line.starts_with(name) && is_name && name != "help").then(|| name.to_owned())
    };
    lines.filter_map(name).collect()
}

#[test]
fn the_help_gathers_commands_under_headings_and_tells_the_exit_codes() {
    let help = text(&["--help"]);
    for part in [
        "Run a node:",
        "Operate it:",
        "For your shell:",
        "Exit codes:",
        "5  not now",
    ] {
        assert!(help.contains(part), "{part} in {help}");
    }
    assert!(!help.contains("Other:"), "{help}");
    let group = text(&["session", "list", "--help"]);
    for part in ["Connection:", "Output:", "Names:", "--json", "CURFEW_SECRET"] {
        assert!(group.contains(part), "{part} in {group}");
    }
}

#[test]
fn every_command_has_a_man_page_and_stands_in_the_completions_of_every_shell() {
    let dir = tempfile::tempdir().unwrap();
    text(&["man", "--out", dir.path().to_str().unwrap()]);
    let groups = commands(&[]);
    assert!(groups.len() > 5, "{groups:?}");
    let scripts = ["bash", "zsh", "fish", "elvish", "powershell"].map(|shell| text(&["completions", shell]));
    let mut pages = vec!["curfew".to_owned()];
    for group in groups {
        let verbs = commands(&[&group]);
        for verb in &verbs {
            assert!(
                scripts.iter().all(|script| script.contains(verb)),
                "{group} {verb}"
            );
        }
        pages.extend(verbs.iter().map(|verb| format!("curfew-{group}-{verb}")));
        assert!(scripts.iter().all(|script| script.contains(&group)), "{group}");
        pages.push(format!("curfew-{group}"));
    }
    for page in pages {
        let page = dir.path().join(format!("{page}.1"));
        let text =
            std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        assert!(
            text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"),
            "{}",
            page.display()
        );
    }
    assert!(text(&["man"]).contains(".TH"));
}

#[test]
fn a_mistake_on_the_command_line_ends_with_2() {
    for args in [
        &["sesion"][..],
        &["session", "list", "--limit", "many"],
        &["session", "list", "--since", "soon"],
    ] {
        let told = finish(&mut bare(args), "");
        assert_eq!(told.code, 2, "{args:?}");
        assert!(!told.stderr.is_empty());
    }
}
