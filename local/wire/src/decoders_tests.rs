//! Whatever bytes arrive: every decoder reads or refuses them, and what was written is read back.

use axum::body::Bytes;
use http::{HeaderMap, Method, Request};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::protocol::{decode, encode_tree, error_of, form_tree};
use crate::{Call, Protocol, Service, resource_name, signed_region, web_page};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..600)
}

/// Pieces of requests in any order, which get further into a decoder than plain bytes.
fn pieces(of: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(of), 0..60).prop_map(|pieces| pieces.concat())
}

fn form() -> impl Strategy<Value = String> {
    pieces(&[
        "Action",
        "Version",
        "=",
        "&",
        ".",
        "member",
        "entry",
        "key",
        "value",
        "1",
        "2",
        "99999999999999999999",
        "%",
        "%C3",
        "+",
        "a",
    ])
}

fn path() -> impl Strategy<Value = String> {
    pieces(&[
        "/",
        "?",
        "&",
        "=",
        "service/",
        "GraniteServiceVersion20100801",
        "/operation/",
        "2015-03-31/functions",
        "invocations",
        "event-source-mappings",
        "tags",
        "bucket",
        "%2F",
        "%",
        "uploads",
        "list-type=2",
        "X-Amz-Credential",
        "arn:aws:lambda:::",
    ])
}

/// What a tree of ours can hold: whole and other numbers, texts, lists and maps.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Eighths have few digits: text of a number with more of them is read to within its last bit.
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0 + 0.0625)),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{0,8}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

const ALL: [Protocol; 6] =
    [Protocol::Json, Protocol::AwsCbor, Protocol::Cbor, Protocol::Query, Protocol::RestJson, Protocol::RestXml];

fn call(protocol: Protocol) -> Call {
    Call { service: Service::Sns, operation: "Publish".to_owned(), protocol }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_are_decoded_or_refused_in_every_protocol(body in bytes()) {
        for protocol in ALL {
            if let Ok(tree) = decode(&call(protocol), &body) {
                prop_assert!(tree.is_object(), "{protocol:?}: {tree}");
            }
        }
        let error = error_of(400, &HeaderMap::new(), &body);
        prop_assert_eq!(error.status, 400);
    }

    #[test]
    fn any_form_is_an_object(form in form()) {
        prop_assert!(form_tree(form.as_bytes()).is_object());
    }

    #[test]
    fn trees_come_back_from_json_and_cbor(tree in prop::collection::btree_map("[a-z]{1,8}", tree(), 1..6)) {
        let tree = Value::Object(tree.into_iter().collect());
        for protocol in [Protocol::Json, Protocol::AwsCbor, Protocol::Cbor] {
            let body = encode_tree(protocol, &tree).expect("it is written");
            prop_assert_eq!(&decode(&call(protocol), &body).expect("it is read"), &tree, "{:?}", protocol);
            // A part of it is no tree, and is said to be none.
            prop_assert!(decode(&call(protocol), &body[..body.len() - 1]).is_err());
        }
    }

    #[test]
    fn members_lists_and_maps_come_back_from_a_form(texts in prop::collection::vec(".{1,20}", 1..12)) {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Text", &texts[0]);
        for (text, place) in texts.iter().zip(1..) {
            form.append_pair(&format!("List.member.{place}"), text);
            form.append_pair(&format!("Map.entry.{place}.key"), &format!("key {place}"));
            form.append_pair(&format!("Map.entry.{place}.value"), text);
        }
        let map: Map<String, Value> =
            texts.iter().zip(1..).map(|(text, place)| (format!("key {place}"), Value::from(text.clone()))).collect();
        let tree = json!({"Text": texts[0], "List": texts, "Map": map});
        prop_assert_eq!(form_tree(form.finish().as_bytes()), tree);
    }

    #[test]
    fn any_request_is_recognised_or_not(
        path in path(),
        target in pieces(&["Kinesis_", "AmazonSQS", "20131202", ".", "PutRecord", " ", "GraniteServiceVersion"]),
        credential in pieces(&["Credential=", "x", "/", ",", "20260101", "sqs", "s3", "aws4_request", " "]),
        body in prop_oneof![bytes(), form().prop_map(String::into_bytes)],
        put in any::<bool>(),
    ) {
        let method = if put { Method::PUT } else { Method::POST };
        let request = Request::builder().method(method).uri(format!("/{path}"));
        let request = request.header("x-amz-target", target).header("authorization", credential).header("host", path);
        // What is no path or header at all does not get this far.
        if let Ok(request) = request.body(Bytes::from(body)) {
            let _ = web_page::refusal(request.headers(), &[]);
            let region = signed_region(&request);
            prop_assert!(region.is_none_or(|region| !region.is_empty()));
            if let Some(call) = Call::of(&request) {
                let _ = resource_name(&call, &request);
                let _ = decode(&call, request.body());
            }
        }
    }
}
