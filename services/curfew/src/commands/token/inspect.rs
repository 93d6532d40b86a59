//! `curfew token inspect`: what a token is, for whom, what it permits, until when, and why it would be refused.

use clap::Args;

use super::ask::ask;
use super::presented::Presented;
use super::read::Read;
use super::report;
use super::verdict::Verdict;
use crate::cli::Failure;
use crate::commands::exit::Exit;
use crate::commands::name::Tenant;
use crate::commands::progress::waiting;
use crate::commands::{Common, time};

#[derive(Args, Clone, Debug)]
pub(super) struct Inspect {
    #[command(flatten)]
    presented: Presented,
    /// The audience of the API that it was sent to: say why that API would refuse it.
    #[arg(long, value_name = "AUDIENCE")]
    sent_to: Option<String>,
    /// Ask nobody: judge form and time alone, even where credentials are given.
    #[arg(long)]
    offline: bool,
}

pub(super) async fn run(common: &Common, tenant: &Tenant, asked: &Inspect) -> Result<Exit, Failure> {
    let text = asked.presented.read()?;
    let sent_to = asked.sent_to.as_deref();
    let read = Read::of(&text);
    let verdict = if let Some(refused) = read.judge_form() {
        // Nobody could say more of it.
        (Verdict::of_text(Some(&refused), ""), None)
    } else if asked.offline || !common.connection.has_credentials()? {
        let note = "nobody was asked whether it was revoked: without a caller's secret, form and time alone are judged";
        (
            Verdict::of_text(read.judge(sent_to, time::now()).as_ref(), note),
            None,
        )
    } else {
        let said = waiting("asking the node", ask(common, tenant, &text, &read, sent_to)).await?;
        (Verdict::of(&read, sent_to, time::now(), &said), Some(said))
    };
    let (verdict, said) = verdict;
    let told = report::Report {
        read: &read,
        sent_to,
        verdict: &verdict,
        said: said.as_ref(),
        now: time::now(),
    };
    common.show(|| Ok(told.json()), || told.table())?;
    Ok(verdict.exit())
}
