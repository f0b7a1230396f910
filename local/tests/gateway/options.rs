//! Where the embedded AWS listens, whom it answers there, and how strict it says it is.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;
use streamkit_local::{Options, Strictness};

use crate::Aws;

#[tokio::test]
async fn named_hosts_are_answered_beyond_loopback_and_web_pages_never() {
    let options = Options {
        bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        allow_hosts: vec!["aws.test".to_owned()],
        ..Options::default()
    };
    let aws = Aws::with(options).await;
    assert_eq!(aws.address.ip(), IpAddr::V4(Ipv4Addr::LOCALHOST), "functions call it on this machine");
    for path in ["/", "/_streamkit/health", "/2015-03-31/functions", "/bucket/key"] {
        for (headers, refused) in [
            (vec![("Host", "aws.test:4566")], false),
            (vec![("Host", "other.test:4566")], true),
            (vec![("Host", "aws.test:4566"), ("Origin", "https://example.com")], true),
            (vec![("Origin", "https://example.com")], true),
            (vec![("Host", "aws.test:4566"), ("Sec-Fetch-Site", "cross-site")], true),
        ] {
            let answer = aws.send("GET", path, &headers, b"").await;
            assert_eq!(answer.status == 403, refused, "{path} {headers:?}: {}", answer.body);
        }
    }
    let headers = [("Host", "aws.test:4566"), ("X-Amz-Target", "AmazonSQS.CreateQueue")];
    let created = aws.send("POST", "/", &headers, br#"{"QueueName":"q"}"#).await.json();
    assert_eq!(created["QueueUrl"], "http://aws.test:4566/000000000000/q", "a URL that its caller can reach");
    let headers = [("Host", "aws.test:4566"), ("X-Amz-Target", "AmazonSQS.ListQueues")];
    let listed = aws.send("POST", "/", &headers, b"{}").await.json();
    assert_eq!(listed["QueueUrls"], json!(["http://aws.test:4566/000000000000/q"]));
    aws.stop().await;
}

#[tokio::test]
async fn each_strictness_is_switched_by_itself() {
    for strict in [
        Strictness::default(),
        Strictness { consistency: true, ..Strictness::default() },
        Strictness { rates: true, ..Strictness::default() },
        Strictness::ALL,
    ] {
        let aws = Aws::with(Options { strict, ..Options::default() }).await;
        let health = aws.send("GET", "/_streamkit/health", &[], b"").await.json();
        assert_eq!(health["strict"], json!({"consistency": strict.consistency, "rates": strict.rates}));
        aws.stop().await;
    }
}
