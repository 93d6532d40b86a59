//! The report of a run with faults as one HTML page.
//!
//! **Invariant:** the page refers to nothing outside itself and says so to the browser, which refuses the rest.

use askama::Template;
use serde_json::json;

use super::report::{HEADS, Report};
use crate::failure::Failure;
use crate::html::when;

/// The page. Its texts are escaped by the template; what is marked safe there is ours.
#[derive(Debug, Template)]
#[template(path = "faults.html")]
struct Page {
    began: String,
    about: String,
    is_kept: bool,
    broken: Vec<String>,
    heads: &'static [&'static str],
    rows: Vec<Vec<String>>,
    stretches: Vec<String>,
    figures: String,
    style: &'static str,
    script: &'static str,
    plot_style: &'static str,
    plot_script: &'static str,
    plot_licence: &'static str,
}

pub(super) fn page(report: &Report) -> Result<String, Failure> {
    let machine = &report.machine;
    let broken = report.violations().map(|(episode, violation)| {
        let (what, fault) = (violation.what, episode.fault.text());
        format!(
            "{what:?} after {fault} ({}): {}",
            episode.store.text(),
            violation.told
        )
    });
    let troubles = report
        .troubles
        .iter()
        .map(|trouble| format!("The run itself: {trouble}"));
    let broken: Vec<_> = broken.chain(troubles).collect();
    let page = Page {
        began: when(report.began_unix_ms),
        about: format!(
            "seed {}, {} nodes, {:.0} minutes · {} cores, {}, {} · {}",
            report.seed,
            report.nodes,
            report.took_s / 60.0,
            machine.cores,
            machine.model,
            machine.kernel,
            report.versions.curfew
        ),
        is_kept: broken.is_empty() && !report.episodes.is_empty(),
        broken,
        heads: &HEADS,
        rows: report.lines().iter().map(super::report::Line::cells).collect(),
        stretches: report
            .stretches
            .iter()
            .map(|stretch| stretch.store.text().to_owned())
            .collect(),
        figures: figures(report)?,
        style: include_str!("../../assets/report.css"),
        script: include_str!("../../assets/faults.js"),
        plot_style: include_str!("../../assets/uplot.min.css"),
        plot_script: include_str!("../../assets/uplot.min.js"),
        plot_licence: include_str!("../../assets/uplot-LICENSE"),
    };
    Ok(page.render()?)
}

/// What the plots are drawn from, as JSON that can stand in a script element.
fn figures(report: &Report) -> Result<String, Failure> {
    let recoveries = report.episodes.iter().enumerate().map(|(n, episode)| {
        json!({
            "n": n + 1,
            "fault": episode.fault.text(),
            "recovery_s": episode.recovery_s,
            "servers_s": episode.servers_s,
        })
    });
    let stretches = report.stretches.iter().map(|stretch| {
        let seconds = stretch.seconds.iter();
        json!({
            "answered": seconds.clone().map(|second| second.answered).collect::<Vec<_>>(),
            "unanswered": seconds.map(|second| second.unanswered).collect::<Vec<_>>(),
        })
    });
    let figures = json!({
        "recoveries": recoveries.collect::<Vec<_>>(),
        "stretches": stretches.collect::<Vec<_>>(),
    });
    // Nothing in it can end the element that it stands in.
    Ok(serde_json::to_string(&figures)?.replace('<', "\\u003c"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::report::tests::report;

    #[test]
    fn the_page_tells_what_did_not_hold_escaped_and_refers_to_nothing_outside_itself() {
        let page = page(&report()).unwrap();
        assert!(page.contains("default-src 'none'"));
        assert!(page.contains("sessions/1") && !page.contains("<b>sessions"));
        assert!(!page.contains("Every sentence held"));
        for outside in [
            "<link", "<img", "<iframe", " src=", " href=", "url(", "@import", "fetch(",
        ] {
            assert!(!page.contains(outside), "`{outside}` may reach outside");
        }
        for held in ["new uPlot(", "Redis killed, started again", "signed out wrongly"] {
            assert!(page.contains(held), "no `{held}`");
        }
    }

    #[test]
    fn a_run_in_which_everything_held_says_so_and_one_without_faults_does_not() {
        let mut report = report();
        report
            .episodes
            .iter_mut()
            .for_each(|episode| episode.violations.clear());
        report.troubles.clear();
        assert!(page(&report).unwrap().contains("Every sentence held"));
        report.episodes.clear();
        assert!(!page(&report).unwrap().contains("Every sentence held"));
    }
}
