//! The report as one HTML page: plots, tables, and all that they need in the same file.
//!
//! **Invariant:** the page refers to nothing outside itself and says so to the browser, which refuses the rest.

mod servers;
mod tables;

use askama::Template;
use serde_json::json;

use crate::failure::Failure;
use crate::report::Report;
use crate::verdict::Verdict;
use tables::{Table, ms, whole};

/// The page. Its texts are escaped by the template; what is marked safe there is ours.
#[derive(Debug, Template)]
#[template(path = "report.html")]
struct Page {
    what: String,
    began: String,
    machine: String,
    curfew: String,
    warnings: Vec<String>,
    cards: Vec<Card>,
    runs: Vec<Named>,
    has_curves: bool,
    has_arrivals: bool,
    has_parts: bool,
    tables: Vec<Table>,
    figures: String,
    style: &'static str,
    script: &'static str,
    plot_style: &'static str,
    plot_script: &'static str,
    plot_licence: &'static str,
}

#[derive(Debug)]
struct Card {
    title: String,
    large: String,
    unit: &'static str,
    small: String,
}

#[derive(Debug)]
struct Named {
    name: String,
}

/// A report as a page.
pub(crate) fn page(report: &Report) -> Result<String, Failure> {
    let machine = &report.machine;
    let page = Page {
        what: report.what.clone(),
        began: when(report.began_unix_ms),
        machine: format!("{} cores, {}, {}", machine.cores, machine.model, machine.kernel),
        curfew: report.versions.curfew.clone(),
        warnings: warnings(report),
        cards: cards(report),
        runs: report
            .runs
            .iter()
            .map(|run| Named {
                name: run.name.clone(),
            })
            .collect(),
        has_curves: !report.runs.is_empty(),
        has_arrivals: !report.revoke_to_reject.is_empty(),
        has_parts: !report.parts.is_empty(),
        tables: tables::all(report),
        figures: figures(report)?,
        style: include_str!("../assets/report.css"),
        script: include_str!("../assets/report.js"),
        plot_style: include_str!("../assets/uplot.min.css"),
        plot_script: include_str!("../assets/uplot.min.js"),
        plot_licence: include_str!("../assets/uplot-LICENSE"),
    };
    Ok(page.render()?)
}

/// A date and time of day, UTC.
pub(crate) fn when(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms).map_or_else(
        |_| format!("{unix_ms} ms since 1970"),
        |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    )
}

fn warnings(report: &Report) -> Vec<String> {
    let of_runs = report.runs.iter().map(|run| (run.name.clone(), &run.verdict));
    let of_guards = report
        .revoke_to_reject
        .iter()
        .map(|found| (format!("revoke to reject, {}", found.guards()), &found.verdict));
    let mut warnings: Vec<_> = of_runs
        .chain(of_guards)
        .filter_map(|(name, verdict)| match verdict {
            Verdict::Void(why) => Some(format!("{name} is void: {why}")),
            Verdict::Valid => None,
        })
        .collect();
    if !report.versions.optimized {
        warnings.push(
            "This program was built without optimization: none of these figures means anything.".to_owned(),
        );
    }
    let [load, ..] = report.machine.load;
    if load > 0.5 {
        warnings.push(format!(
            "Others were at work: the load average was {load:.1} when the measuring began."
        ));
    }
    warnings
}

fn cards(report: &Report) -> Vec<Card> {
    let mut cards = Vec::new();
    for ceiling in &report.ceilings {
        let cost = ceiling.target_cost.map_or_else(String::new, |cost| {
            format!("{} µs of the node's processor each", whole(cost.total_us))
        });
        cards.push(Card {
            title: format!("{}, at most", ceiling.name),
            large: whole(ceiling.answered_per_s),
            unit: "/s",
            small: cost,
        });
    }
    for run in &report.runs {
        let Some(operation) = run.recorded.operations.first() else {
            continue;
        };
        let told = operation.latency_ms;
        cards.push(Card {
            title: format!("{}, {} p99", run.name, operation.operation.text()),
            large: ms(told.p99),
            unit: "ms",
            small: format!(
                "p50 {} ms, p99.9 {} ms at {}/s",
                ms(told.p50),
                ms(told.p999),
                whole(run.answered_per_s)
            ),
        });
    }
    for found in &report.revoke_to_reject {
        let told = found.arrived.each_ms;
        cards.push(Card {
            title: format!("revoke to reject, {}", found.guards()),
            large: ms(told.p50),
            unit: "ms",
            small: format!(
                "p99 {} ms, max {} ms; {} never arrived",
                ms(told.p99),
                ms(told.max),
                found.arrived.never
            ),
        });
    }
    cards
}

/// What the plots are drawn from, as JSON that can stand in a script element.
fn figures(report: &Report) -> Result<String, Failure> {
    let curves = report.runs.iter().flat_map(|run| {
        run.recorded.operations.iter().map(move |operation| {
            let name = format!("{}, {}", run.name, operation.operation.text());
            json!({"name": name, "points": operation.curve})
        })
    });
    let arrivals = report.revoke_to_reject.iter().map(|found| {
        let name = found.guards();
        json!({"name": name, "points": found.arrived.curve})
    });
    let runs = report
        .runs
        .iter()
        .map(|run| json!({"timeline": run.recorded.timeline, "warm_up_s": run.warm_up_s}));
    let figures = json!({
        "curves": curves.collect::<Vec<_>>(),
        "arrivals": arrivals.collect::<Vec<_>>(),
        "runs": runs.collect::<Vec<_>>(),
        "parts": report.parts,
    });
    // Nothing in it can end the element that it stands in.
    Ok(serde_json::to_string(&figures)?.replace('<', "\\u003c"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_page_holds_its_figures_and_refers_to_nothing_outside_itself() {
        let page = page(&sample::report()).unwrap();
        assert!(page.contains("default-src 'none'"), "the browser is told so");
        for outside in [
            "<link",
            "<img",
            "<iframe",
            " src=",
            " href=",
            "url(",
            "@import",
            "fetch(",
            "import(",
            "XMLHttpRequest",
            "WebSocket",
            "sendBeacon",
        ] {
            assert!(!page.contains(outside), "`{outside}` may reach outside");
        }
        // The one address left is in the head of uPlot, a comment that its licence wants kept.
        let addresses: Vec<_> = page.match_indices("://").collect();
        assert_eq!(addresses.len(), 1, "{addresses:?}");
        assert!(page.contains("/*! https://github.com/leeoniya/uPlot"));
        for held in [
            "revoke to reject, 1 guard",
            "All three",
            "4.00",
            "gRPC echo",
            "new uPlot(",
        ] {
            assert!(page.contains(held), "no `{held}`");
        }
    }

    #[test]
    fn texts_are_escaped_in_the_page_and_in_its_figures() {
        let mut report = sample::report();
        report.runs[0].name = "</script><b>run</b>".to_owned();
        let page = page(&report).unwrap();
        assert!(!page.contains("<angles>") && !page.contains("<b>run"));
        let (_, after) = page.split_once("id=\"figures\">").unwrap();
        let (json, _) = after.split_once("</script>").unwrap();
        let figures: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(figures["curves"][0]["name"], "</script><b>run</b>, refresh");
    }

    #[test]
    fn a_void_run_is_told_before_its_figures() {
        let mut report = sample::report();
        report.runs[0].verdict = Verdict::Void("the generator fell behind".to_owned());
        let page = page(&report).unwrap();
        let told = page.find("refresh is void: the generator fell behind").unwrap();
        assert!(told < page.find("class=\"cards\"").unwrap());
    }

    #[test]
    fn a_report_of_limits_alone_is_a_page_too() {
        let mut report = sample::report();
        report.runs.clear();
        report.ceilings.clear();
        report.revoke_to_reject.clear();
        let page = page(&report).unwrap();
        assert!(page.contains("Physical limits") && !page.contains("data-plot=\"curves\""));
    }
}
