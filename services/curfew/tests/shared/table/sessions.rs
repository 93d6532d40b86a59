//! Sessions and grants.

use curfew_proto::session::v1 as pb;
use tonic::Status;

use super::{Pair, Way};
use crate::process::{TENANT, request_id};

fn opening(subject: &str, request_id: &str) -> pb::CreateSessionRequest {
    pb::CreateSessionRequest {
        parent: TENANT.to_owned(),
        session: Some(pb::Session {
            subject: format!("{TENANT}/subjects/{subject}"),
            amr: vec!["pwd".to_owned()],
            ..Default::default()
        }),
        request_id: request_id.to_owned(),
        ..Default::default()
    }
}

pub(super) async fn opened(way: &Way, subject: &str, request_id: &str) -> Result<pb::Session, Status> {
    let request = opening(subject, request_id);
    let opened = way.sessions().create_session(request).await?.into_inner();
    Ok(opened.session.unwrap())
}

pub(super) async fn open(way: &Way, subject: &str) -> String {
    opened(way, subject, &request_id()).await.unwrap().name
}

async fn found(way: &Way, name: &str) -> pb::Session {
    let request = pb::GetSessionRequest {
        name: name.to_owned(),
    };
    let found = way.sessions().get_session(request).await.unwrap().into_inner();
    found.session.unwrap()
}

/// Opened here; changed, stepped up, listed and ended there: at once, as a session is read from the store.
pub(super) async fn sessions_opened_here_are_changed_and_ended_there(pair: &Pair) {
    let (mut id, mut names) = (String::new(), Vec::new());
    for _ in 0..3 {
        id = request_id();
        names.push(
            pair.twice(async |way| Ok(opened(&way, "alice", &id).await?.name))
                .await,
        );
    }
    assert_eq!(found(&pair.there, &names[2]).await.amr, ["pwd"]);
    let mut other = opening("alice", &id);
    other.session.as_mut().unwrap().persistent = true;
    let refused = pair.there.sessions().create_session(other).await.unwrap_err();
    assert_eq!(
        crate::servers::told(&refused).1,
        "REQUEST_ID_REUSED",
        "other content under one id"
    );

    change(pair, &names[0]).await;
    listed(pair, &names).await;
    grants(pair, &names[0]).await;

    let request = pb::EndSessionRequest {
        name: names[2].clone(),
        request_id: request_id(),
        ..Default::default()
    };
    let record = pair.twice(async |way| {
        let ended = way.sessions().end_session(request.clone()).await?.into_inner();
        Ok(ended.acknowledgement.unwrap().revocation)
    });
    assert!(!record.await.is_empty());
    let request = pb::EndOtherSessionsRequest {
        name: names[0].clone(),
        request_id: request_id(),
        ..Default::default()
    };
    let ended = pair.twice(async |way| {
        let ended = way
            .sessions()
            .end_other_sessions(request.clone())
            .await?
            .into_inner();
        Ok(ended.acknowledgement.unwrap().revocation)
    });
    ended.await;
    let request = pb::BatchGetSessionsRequest {
        parent: TENANT.to_owned(),
        names: names.clone(),
    };
    let sessions = pair
        .there
        .sessions()
        .batch_get_sessions(request)
        .await
        .unwrap()
        .into_inner()
        .sessions;
    let states: Vec<_> = sessions.iter().map(pb::Session::state).collect();
    use pb::SessionState::{Active, Ended};
    assert_eq!(states, [Active, Ended, Ended]);
}

async fn change(pair: &Pair, name: &str) {
    let request = pb::UpdateSessionRequest {
        session: Some(pb::Session {
            name: name.to_owned(),
            device: Some(pb::Device {
                id: "phone".to_owned(),
                label: "Anna's phone".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["device".to_owned()],
        }),
        request_id: request_id(),
        ..Default::default()
    };
    pair.twice(async |way| {
        let updated = way.sessions().update_session(request.clone()).await?.into_inner();
        Ok(updated.session.unwrap().device.unwrap().label)
    })
    .await;
    assert_eq!(
        found(&pair.there, name).await.device.unwrap().label,
        "Anna's phone"
    );

    let request = pb::StepUpSessionRequest {
        name: name.to_owned(),
        amr: vec!["pwd".to_owned(), "otp".to_owned()],
        acr: "urn:example:2fa".to_owned(),
        request_id: request_id(),
        ..Default::default()
    };
    pair.twice(async |way| {
        let stepped = way
            .sessions()
            .step_up_session(request.clone())
            .await?
            .into_inner();
        Ok(stepped.session.unwrap().amr)
    })
    .await;
    assert_eq!(found(&pair.there, name).await.acr, "urn:example:2fa");
}

async fn listed(pair: &Pair, names: &[String]) {
    let listed = pair.pages(async |way, page_token| {
        let request = pb::ListSessionsRequest {
            parent: TENANT.to_owned(),
            page_size: 2,
            page_token,
            filter: Some(pb::SessionFilter {
                subject: format!("{TENANT}/subjects/alice"),
                ..Default::default()
            }),
            order: pb::SessionOrder::CreateTimeAsc.into(),
        };
        let page = way.sessions().list_sessions(request).await?.into_inner();
        Ok((page.sessions, page.next_page_token))
    });
    let listed: Vec<_> = listed.await.into_iter().map(|session| session.name).collect();
    assert_eq!(listed, names);
    let devices = pair.pages(async |way, page_token| {
        let request = pb::ListDevicesRequest {
            parent: format!("{TENANT}/subjects/alice"),
            page_size: 1,
            page_token,
        };
        let page = way.sessions().list_devices(request).await?.into_inner();
        Ok((page.devices, page.next_page_token))
    });
    let counts: i32 = devices.await.iter().map(|device| device.session_count).sum();
    assert_eq!(counts, 3);
}

async fn grants(pair: &Pair, name: &str) {
    let first = super::tokens::issue(&pair.here, name).await.unwrap();
    let second = super::tokens::issue(&pair.there, name).await.unwrap();
    let listed = pair.pages(async |way, page_token| {
        let request = pb::ListGrantsRequest {
            parent: name.to_owned(),
            page_size: 1,
            page_token,
            only_active: true,
        };
        let page = way.sessions().list_grants(request).await?.into_inner();
        Ok((page.grants, page.next_page_token))
    });
    let mut grants: Vec<_> = listed.await.into_iter().map(|grant| grant.name).collect();
    let mut expected = [first.grant.clone(), second.grant];
    grants.sort_unstable();
    expected.sort_unstable();
    assert_eq!(grants, expected);
    let request = pb::EndGrantRequest {
        name: first.grant,
        request_id: request_id(),
        ..Default::default()
    };
    pair.twice(async |way| {
        let ended = way.sessions().end_grant(request.clone()).await?.into_inner();
        assert_eq!(ended.grant.unwrap().state(), pb::GrantState::Ended);
        Ok(ended.acknowledgement.unwrap().revocation)
    })
    .await;
    let refused = super::tokens::refresh(&pair.there, &first.refresh_token)
        .await
        .unwrap_err();
    assert_eq!(crate::servers::told(&refused).1, "GRANT_ENDED");
}
