//! `compare`: two reports side by side.
//!
//! **Invariant:** figures are compared by name and unit; one that only one report has is told, not dropped.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;

use crate::cli::CompareArgs;
use crate::failure::Failure;
use crate::ratio::{self, Figure, Unit};
use crate::report::Report;

/// A figure of two reports.
#[derive(Clone, PartialEq, Debug, Serialize)]
struct Pair {
    name: String,
    unit: Unit,
    a: Option<f64>,
    b: Option<f64>,
    /// `b / a`, where both are there and `a` is not nothing.
    ratio: Option<f64>,
}

/// Two reports.
#[derive(Clone, PartialEq, Debug, Serialize)]
struct Comparison {
    /// Differences of the circumstances: figures of two machines say little about two versions.
    warnings: Vec<String>,
    figures: Vec<Pair>,
}

pub(crate) fn run(args: &CompareArgs) -> Result<ExitCode, Failure> {
    let comparison = compare(&Report::read(&args.a)?, &Report::read(&args.b)?);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&comparison)?);
    } else {
        print!("{}", text(&comparison));
    }
    Ok(ExitCode::SUCCESS)
}

fn compare(a: &Report, b: &Report) -> Comparison {
    let of = |report| [ratio::limits(report), ratio::figures(report)].concat();
    let (of_a, of_b): (Vec<Figure>, Vec<Figure>) = (of(a), of(b));
    let find = |all: &[Figure], one: &Figure| {
        let same = |other: &&Figure| other.name == one.name && other.unit == one.unit;
        all.iter().find(same).map(|figure| figure.value)
    };
    let only_b = of_b.iter().filter(|one| find(&of_a, one).is_none());
    let figures = of_a.iter().chain(only_b).map(|one| {
        let (a, b) = (find(&of_a, one), find(&of_b, one));
        let ratio = a.zip(b).filter(|(a, _)| *a != 0.0).map(|(a, b)| b / a);
        Pair {
            name: one.name.clone(),
            unit: one.unit,
            a,
            b,
            ratio,
        }
    });
    Comparison {
        figures: figures.collect(),
        warnings: warnings(a, b),
    }
}

fn warnings(a: &Report, b: &Report) -> Vec<String> {
    let mut warnings = Vec::new();
    if (&a.machine.model, a.machine.cores) != (&b.machine.model, b.machine.cores) {
        warnings.push(format!(
            "two machines: {} cores of {}, and {} cores of {}",
            a.machine.cores, a.machine.model, b.machine.cores, b.machine.model
        ));
    }
    for (which, report) in [("A", a), ("B", b)] {
        if report.has_void() {
            warnings.push(format!("{which} holds void runs"));
        }
        if !report.versions.optimized {
            warnings.push(format!("{which} was measured by a program without optimization"));
        }
    }
    warnings
}

fn text(comparison: &Comparison) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for warning in &comparison.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    let _ = writeln!(text, "{:<46} {:>12} {:>12} {:>8}", "", "A", "B", "B/A");
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    for pair in &comparison.figures {
        let name = format!("{} ({})", pair.name, pair.unit.text());
        let _ = writeln!(
            text,
            "{name:<46} {:>12} {:>12} {:>8}",
            number(pair.a),
            number(pair.b),
            number(pair.ratio)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::verdict::Verdict;

    #[test]
    fn figures_of_two_reports_are_paired_with_their_ratio() {
        let (a, mut b) = (sample::report(), sample::report());
        b.ceilings[0].answered_per_s *= 2.0;
        b.revoke_to_reject.clear();
        b.machine.cores = 64;
        b.runs[0].verdict = Verdict::Void("late".to_owned());
        let comparison = compare(&a, &b);
        let pair = |name: &str| {
            let found = comparison.figures.iter().find(|pair| pair.name == name);
            found
                .unwrap_or_else(|| panic!("no {name} in {comparison:?}"))
                .clone()
        };
        assert_eq!(pair("refresh, answered").ratio, Some(2.0));
        assert_eq!(pair("limit: ES256 signature").ratio, Some(1.0));
        let gone = pair("revoke to reject, 1 guard p50");
        assert!(gone.a.is_some() && gone.b.is_none() && gone.ratio.is_none());
        let told = text(&comparison);
        assert!(
            told.contains("warning: two machines") && told.contains("B holds void runs"),
            "{told}"
        );
    }

    #[test]
    fn a_report_reads_back_and_what_is_none_is_named() {
        let home = tempfile::tempdir().unwrap();
        let report = sample::report();
        let written = report.write(home.path()).unwrap();
        let read = Report::read(&written[0]).unwrap();
        let comparison = compare(&report, &read);
        assert!(!comparison.figures.is_empty());
        for pair in &comparison.figures {
            // The last digit of a number may not survive its text.
            assert!((pair.ratio.unwrap() - 1.0).abs() < 1e-12, "{pair:?}");
        }
        let path = home.path().join("other.json");
        for (content, said) in [
            ("{", "is no JSON"),
            ("{}", "is no report"),
            (r#"{"form":9}"#, "form 9"),
            (r#"{"form":1}"#, "no whole report"),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = Report::read(&path).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("other.json"), "{error}");
        }
    }
}
