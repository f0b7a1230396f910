//! The gateway's own paths under `/_streamkit/`: health, call log, faults, function packages, stop. Never signed, never for web pages.

use axum::body::Bytes;
use axum::response::Response;
use http::{Method, Request};
use serde_json::{Value, json};
use streamkit_wire::protocol;

use super::router::Gateway;

/// What all control paths start with.
pub(crate) const PREFIX: &str = "/_streamkit/";

/// Answers a control request.
pub(crate) async fn answer(gateway: &Gateway, request: &Request<Bytes>) -> Response {
    let path = request.uri().path().trim_start_matches(PREFIX);
    match (request.method(), path) {
        (&Method::GET, "health") => respond(
            200,
            &json!({
                "status": "ok",
                "pid": std::process::id(),
                "region": gateway.regions.default_name(),
                "regions": gateway.regions.names(),
                "account": gateway.regions.account(),
                "version": env!("CARGO_PKG_VERSION"),
                "strict": gateway.regions.strict(),
                "bind": gateway.bind,
                "allow_hosts": gateway.allow_hosts,
                "rehearsal": gateway.disturbances.rehearsal().shown,
            }),
        ),
        (&Method::GET, "calls") => {
            let query = request.uri().query().unwrap_or_default();
            let since = form_urlencoded::parse(query.as_bytes())
                .find(|(name, _)| name == "since")
                .and_then(|(_, value)| value.parse().ok())
                .unwrap_or_default();
            let (next, calls) = gateway.calls.since(since);
            respond(200, &json!({"next": next, "calls": calls}))
        }
        (&Method::POST, "faults") => match serde_json::from_slice(request.body()) {
            Ok(fault) => {
                gateway.faults.add(fault);
                respond(202, &json!({}))
            }
            Err(error) => respond(400, &json!({"message": error.to_string()})),
        },
        (&Method::DELETE, "faults") => {
            gateway.faults.clear();
            respond(202, &json!({}))
        }
        (&Method::GET, "replication") => respond(200, &json!({"replicas": gateway.regions.replication().shown()})),
        (&Method::POST, path) if path.starts_with("regions/") => {
            let (region, wanted) = path.trim_start_matches("regions/").split_once('/').unwrap_or_default();
            match wanted {
                "down" | "up" if gateway.regions.set_down(region, wanted == "down") => respond(202, &json!({})),
                "down" | "up" => respond(404, &json!({"message": "nothing was ever asked of this region"})),
                _ => respond(404, &json!({"message": "a region is told to be down or up"})),
            }
        }
        (&Method::POST, "stop") => {
            gateway.stop.notify_one();
            respond(202, &json!({}))
        }
        // The `Code.Location` of a function.
        (&Method::GET, path) if path.starts_with("code/") => {
            match gateway.regions.package(path.trim_start_matches("code/")).await {
                Some(package) => protocol::response(200, "application/zip", package),
                None => respond(404, &json!({"message": "no function uses this package"})),
            }
        }
        _ => respond(404, &json!({"message": "no such control path"})),
    }
}

fn respond(status: u16, body: &Value) -> Response {
    protocol::response(status, "application/json", body.to_string().into_bytes())
}
