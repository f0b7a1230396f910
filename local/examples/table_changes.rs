//! Measures whether a table's change stream costs the same however many changes there were: writes changes in blocks, reads
//! each block from the stream, and prints how long the first, the median and the last block took.
//!
//! `cargo run --release -p streamkit-local --example table_changes [CHANGES]`
#![expect(clippy::print_stdout, reason = "the numbers are what it is for")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use streamkit_local::{Options, serve};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

const CHANGES: usize = 200_000;
const BLOCK: usize = 1000;
/// Items of one `BatchWriteItem`.
const PER_WRITE: usize = 25;
/// As many items as the table has; each is changed again and again.
const ITEMS: usize = 5000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let changes = std::env::args().nth(1).map_or(Ok(CHANGES), |given| given.parse())?;
    let state_dir = std::env::temp_dir().join(format!("streamkit-changes-{}", std::process::id()));
    let (ready, address) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let options = Options { state_dir: state_dir.clone(), ..Options::default() };
    let server = tokio::spawn(serve(options, ready, async { drop(stopped.await) }));
    let stream = TcpStream::connect(address.await?).await?;
    stream.set_nodelay(true)?;
    let mut client = Client(BufReader::new(stream));

    let table = json!({
        "TableName": "changed",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    });
    let made = client.call("DynamoDB_20120810.CreateTable", &table).await?;
    let arn = made["TableDescription"]["LatestStreamArn"].clone();
    let described = client.call("DynamoDBStreams_20120810.DescribeStream", &json!({"StreamArn": arn})).await?;
    let shard = &described["StreamDescription"]["Shards"][0]["ShardId"];
    let from = json!({"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
    let made = client.call("DynamoDBStreams_20120810.GetShardIterator", &from).await?;
    let mut iterator = made["ShardIterator"].clone();

    let (mut writing, mut reading) = (Vec::new(), Vec::new());
    for block in 0..changes / BLOCK {
        let started = Instant::now();
        for write in 0..BLOCK / PER_WRITE {
            let first = block * BLOCK + write * PER_WRITE;
            let puts: Vec<Value> = (first..first + PER_WRITE).map(put).collect();
            client.call("DynamoDB_20120810.BatchWriteItem", &json!({"RequestItems": {"changed": puts}})).await?;
        }
        writing.push(started.elapsed());
        let (started, mut read) = (Instant::now(), 0);
        while read < BLOCK {
            let page = client.call("DynamoDBStreams_20120810.GetRecords", &json!({"ShardIterator": iterator})).await?;
            read += page["Records"].as_array().map_or(0, Vec::len);
            iterator = page["NextShardIterator"].clone();
        }
        reading.push(started.elapsed());
    }
    println!("{BLOCK} changes       first    median      last");
    println!("written      {}", row(&mut writing)?);
    println!("read         {}", row(&mut reading)?);
    drop(stop);
    server.await??;
    std::fs::remove_dir_all(state_dir)?;
    Ok(())
}

fn put(number: usize) -> Value {
    json!({"PutRequest": {"Item": {
        "id": {"S": format!("item-{}", number % ITEMS)},
        "change": {"N": number.to_string()},
        "note": {"S": "something that was done to the item"},
    }}})
}

/// First, median and last in milliseconds.
fn row(times: &mut [Duration]) -> anyhow::Result<String> {
    let (first, last) = (*times.first().context("no blocks")?, *times.last().context("no blocks")?);
    times.sort();
    let shown = [first, times[times.len() / 2], last].map(|time| format!("{:7.1} ms", time.as_secs_f64() * 1000.0));
    Ok(shown.join(""))
}

struct Client(BufReader<TcpStream>);

impl Client {
    async fn call(&mut self, target: &str, body: &Value) -> anyhow::Result<Value> {
        let body = body.to_string();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: {target}\r\nContent-Type: application/x-amz-json-1.0\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.0.write_all(head.as_bytes()).await?;
        self.0.write_all(body.as_bytes()).await?;
        let (mut status, mut length) = (String::new(), 0);
        self.0.read_line(&mut status).await?;
        loop {
            let mut line = String::new();
            ensure!(self.0.read_line(&mut line).await? > 0, "the connection was closed");
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse()?,
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer).await?;
        ensure!(status.contains(" 200"), "{target}: {status} {}", String::from_utf8_lossy(&answer));
        Ok(serde_json::from_slice(&answer)?)
    }
}
