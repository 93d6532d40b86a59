//! `why?`: for each refused call, the stage and the cause.

use curfew_proto::token::v1 as token;

use crate::cli::Failure;
use crate::demo::story::Story;
use crate::demo::world::{TENANT, World};

pub(crate) async fn tell(story: &mut Story, world: &World) -> Result<(), Failure> {
    let refused = world
        .refused
        .lock()
        .map(|refused| refused.clone())
        .unwrap_or_default();
    for call in refused {
        story.begin(&format!("why was this refused: {}?", call.what), 7);
        let request = token::ExplainTokenRequest {
            parent: TENANT.to_owned(),
            token: call.token,
            sent_to: call.sent_to.to_owned(),
        };
        let answer = world.tokens.clone().explain_token(request).await?.into_inner();
        let told = answer.explanation.unwrap_or_default();
        story.begin(
            &format!("why was this refused: {}?", call.what),
            usize::try_from(told.stage)?.clamp(1, 8),
        );
        let cause = told
            .covered_by
            .as_ref()
            .map_or_else(String::new, |by| format!("; cause {}", by.cause));
        let line = format!(
            "{}: {}{cause}. What to do: {}",
            told.reason, told.message, told.remedy
        );
        story.check("why", !told.alive && !told.reason.is_empty(), &line);
    }
    Ok(())
}
