use std::cell::Cell;
use std::collections::BTreeSet;

use serde_json::{Value, json};
use streamkit_recipes::{Attribute, IDENTITY_FIELD, Item, Record};

use super::*;
use crate::encryption::{ATTRIBUTE, DataKey, reveal_item, reveal_text};
use crate::record::decode;

/// KMS with one data key; or none, for an error.
#[derive(Default)]
struct Kms {
    calls: Cell<usize>,
    error: Option<&'static str>,
}

const DATA_KEY: [u8; 32] = [7; 32];

impl KeyService for Kms {
    async fn data_key(&self, key: &str, context: &Context) -> Result<DataKey, SinkError> {
        self.calls.set(self.calls.get() + 1);
        if let Some(code) = self.error {
            return Err(SinkError { permanent: false, code: code.to_owned(), message: String::new() });
        }
        assert_eq!(key, "alias");
        let encrypted =
            EncryptedDataKey { key_arn: "arn".to_owned(), ciphertext: context[ATTRIBUTE].clone().into_bytes() };
        Ok(DataKey { plaintext: DATA_KEY.to_vec(), encrypted })
    }

    async fn mac(&self, key: &str, message: &[u8]) -> Result<Vec<u8>, SinkError> {
        assert_eq!((key, message), ("alias-index", IndexKey::LABEL));
        Ok(vec![9; 32])
    }
}

fn settings(fields: &[(&str, bool)]) -> EncryptionSettings {
    EncryptionSettings {
        key: "alias".to_owned(),
        index_key: fields.iter().any(|(_, index)| *index).then(|| "alias-index".to_owned()),
        context: [("table".to_owned(), "t".to_owned())].into(),
        fields: fields.iter().map(|(field, index)| Field { field: (*field).to_owned(), index: *index }).collect(),
    }
}

fn stream(payloads: &[&[u8]]) -> Vec<IncomingRecord> {
    let record = |(n, data): (usize, &&[u8])| {
        json!({"eventSource": "aws:kinesis", "eventID": format!("shardId-000000000000:{}", n + 1),
            "kinesis": {"sequenceNumber": (n + 1).to_string(), "partitionKey": "ada@example.com", "data": STANDARD.encode(data)}})
    };
    let records: Vec<Value> = payloads.iter().enumerate().map(record).collect();
    let event = serde_json::from_value(json!({ "Records": records })).unwrap();
    decode(event, streamkit_recipes::find("retail").unwrap(), IDENTITY_FIELD).unwrap()
}

async fn protected_records(
    fields: &[(&str, bool)],
    mut records: Vec<IncomingRecord>,
    replay: bool,
) -> Vec<IncomingRecord> {
    Protection::new(settings(fields)).protect(&mut records, &Kms::default(), replay).await.unwrap();
    records
}

fn payload(record: &IncomingRecord) -> String {
    let Content::Stream { data, .. } = &record.content else { panic!("a stream's record") };
    String::from_utf8(data.clone().unwrap()).unwrap()
}

fn open(message: &Message<'_>) -> Option<Vec<u8>> {
    message.open(&DATA_KEY).ok()
}

const FIELDS: [(&str, bool); 2] = [("email", true), ("card.number", false)];

#[tokio::test]
async fn fields_are_encrypted_wherever_they_stand_and_all_else_stays() {
    for (text, secrets) in [
        (r#"{"email":"ada@example.com","a":1.50}"#, vec!["ada@example"]),
        (r#" { "\u0065mail" : "ada@example.com" , "x" : [ ] } "#, vec!["ada@example"]),
        (r#"{"email":"ada@one.com","b":2,"email":"ada@two.com"}"#, vec!["ada@one", "ada@two"]),
        (r#"{"card":{"number":"4111","name":"A"},"cards":"4112"}"#, vec!["4111"]),
        (r#"{"card":"4111 as text"}"#, vec!["4111"]),
        (r#"{"card":4111.0}"#, vec!["4111"]),
        (
            r#"{"card":[{"number":4111},{"number":{"deep":"4112"}},"4113",[{"number":4114}]]}"#,
            vec!["4111", "4112", "4113", "4114"],
        ),
        (r#"{"email":{"address":"ada@example.com"}}"#, vec!["ada@example"]),
        (r#"{"email":["ada@example.com"],"other":{"email":"elsewhere"}}"#, vec!["ada@example"]),
        (r#"{"email":null,"card":{"number":null},"other":"x"}"#, vec![]),
        (r#"{"nothing":"to encrypt"}"#, vec![]),
    ] {
        let records = protected_records(&FIELDS, stream(&[text.as_bytes()]), false).await;
        let after = payload(&records[0]);
        assert!(records[0].withheld.is_none() && serde_json::from_str::<Value>(&after).is_ok(), "{after}");
        for secret in secrets {
            assert!(text.contains(secret) && !after.contains(secret), "{secret} is in {after}");
        }
        assert_eq!(reveal_text(&after, &mut open), text);
        assert!(
            after.contains("elsewhere") == text.contains("elsewhere")
                && after.contains("4112") == text.contains("cards")
        );
    }
}

#[tokio::test]
async fn what_can_not_be_searched_is_withheld_with_its_partition_key() {
    for (data, code) in [
        (&b"ada@example.com"[..], "invalid_json"),
        (b"{\"email\":\"ada@example.com", "invalid_json"),
        (b"{\"\\ud800\":1,\"email\":\"ada@example.com\"}", "invalid_json"),
        (b"[{\"email\":\"ada@example.com\"}]", "wrong_type"),
        (b"\"ada@example.com\"", "wrong_type"),
        (b"\xff ada@example.com", "not_utf8"),
    ] {
        let records = protected_records(&FIELDS, stream(&[data]), false).await;
        let withheld = records[0].withheld.as_ref().unwrap();
        assert_eq!((withheld.rejected.code, withheld.bytes), (code, data.len()));
        assert_eq!(withheld.sha256, sha256(data));
        assert_eq!(super::withheld(data).as_ref(), Some(withheld));
        assert!(!format!("{:?}", records[0]).contains("ada"), "{:?}", records[0]);
        let letter = crate::dead_letter::DeadLetter::new("p", "f", &records[0], &records[0].record().unwrap_err());
        assert!(!letter.body.contains("ada") && letter.body.contains(&withheld.sha256), "{}", letter.body);
    }
    assert!(super::withheld(b"{}").is_none());
}

#[tokio::test]
async fn a_letter_that_is_played_again_keeps_its_values_and_their_hashes() {
    let clear = br#"{"email":"ada@example.com"}"#;
    let once = protected_records(&FIELDS, stream(&[clear]), false).await;
    let hashes = &once[0].indexes;
    assert_eq!((hashes[0].0.as_str(), hashes[0].1.len(), hashes.len()), ("email_index", 43, 1));
    let again = protected_records(&FIELDS, stream(&[payload(&once[0]).as_bytes()]), true).await;
    assert_eq!((payload(&again[0]), &again[0].indexes), (payload(&once[0]), hashes));
    // Not so what a producer sends: nobody gets past the encryption by looking like it.
    let forged = protected_records(&FIELDS, stream(&[payload(&once[0]).as_bytes()]), false).await;
    assert!(!payload(&forged[0]).contains(&payload(&once[0])[10..200]));
    // Nor what is bound to another table.
    let mut other = settings(&FIELDS);
    other.context.insert("table".to_owned(), "other".to_owned());
    let mut records = stream(&[payload(&once[0]).as_bytes()]);
    Protection::new(other).protect(&mut records, &Kms::default(), true).await.unwrap();
    assert_ne!(payload(&records[0]), payload(&once[0]));
}

#[tokio::test]
async fn data_keys_serve_many_records_and_without_one_nothing_goes_on() {
    let (kms, protection) = (Kms::default(), Protection::new(settings(&FIELDS)));
    for _ in 0..3 {
        let mut records = stream(&[br#"{"email":"a"}"#, br#"{"email":"b"}"#]);
        protection.protect(&mut records, &kms, false).await.unwrap();
    }
    assert_eq!(kms.calls.get(), 2);
    for code in ["ThrottlingException", "AccessDeniedException", "KMSInvalidStateException", "Timeout"] {
        let kms = Kms { error: Some(code), ..Kms::default() };
        let mut records = stream(&[br#"{"email":"a"}"#]);
        let error = Protection::new(settings(&FIELDS)).protect(&mut records, &kms, false).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.permanent), (code, false));
    }
}

fn change(old: Option<&Value>, new: Option<&Value>) -> Vec<IncomingRecord> {
    let mut body = json!({"ApproximateCreationDateTime": 1.7E9, "Keys": {"id": {"S": "1"}}, "SequenceNumber": "7",
        "SizeBytes": 26, "StreamViewType": "NEW_AND_OLD_IMAGES", "Unknown": "ada@example.com"});
    for (name, image) in [("OldImage", old), ("NewImage", new)] {
        if let Some(image) = image {
            body[name] = image.clone();
        }
    }
    let event = json!({"Records": [{"eventID": "e", "eventName": "MODIFY", "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-2", "dynamodb": body,
        "eventSourceARN": "arn:aws:dynamodb:us-east-2:1:table/t/stream/2024-06-10T19:26:16.525"}]});
    decode(serde_json::from_value(event).unwrap(), streamkit_recipes::find("changes").unwrap(), IDENTITY_FIELD).unwrap()
}

#[tokio::test]
async fn images_of_a_change_have_equal_values_where_they_had() {
    let image = |email: &str, card: Value| json!({"id": {"S": "1"}, "email": {"S": email}, "card": card});
    let card = |number: &str| json!({"M": {"number": {"N": number}, "name": {"S": "A"}}});
    let (old, new) = (image("ada@example.com", card("4111")), image("ada@example.com", card("4112")));
    let mut records = change(Some(&old), Some(&new));
    let of_changes = settings(&[("email", false), ("card.number", false)]).of_changes();
    Protection::new(of_changes).protect(&mut records, &Kms::default(), false).await.unwrap();
    let Record::Change(change) = records[0].record().unwrap() else { panic!("a change") };
    let (before, after) = (change.old.unwrap(), change.new.unwrap());
    assert_eq!((&before["email"], &before["id"]), (&after["email"], &Attribute::S("1".to_owned())));
    assert_ne!(before["card"], after["card"]);
    let Content::Change { raw, .. } = &records[0].content else { panic!("a change") };
    for secret in ["ada@", "4111", "4112"] {
        assert!(!raw.get().contains(secret), "{raw}");
        assert!(!format!("{:?}", records[0]).contains(secret));
    }
    assert_eq!(serde_json::from_str::<Value>(raw.get()).unwrap()["SequenceNumber"], "7");
    let expected: Item = serde_json::from_value(old).unwrap();
    assert_eq!(reveal_item(before, &mut open), expected);
}

#[tokio::test]
async fn a_change_that_can_not_be_read_is_withheld() {
    let mut records = change(Some(&json!({"email": {"X": "ada@example.com"}})), None);
    Protection::new(settings(&FIELDS)).protect(&mut records, &Kms::default(), false).await.unwrap();
    assert_eq!(records[0].withheld.as_ref().unwrap().rejected.code, "invalid_change");
    assert!(!format!("{:?}", records[0]).contains("ada@"), "{:?}", records[0]);
}

#[test]
fn settings_are_read_as_they_were_written() {
    let settings = settings(&FIELDS);
    let text = serde_json::to_string(&settings).unwrap();
    assert_eq!(serde_json::from_str::<EncryptionSettings>(&text).unwrap(), settings);
    assert!(serde_json::from_str::<EncryptionSettings>(r#"{"key":"k","context":{},"fields":[],"more":1}"#).is_err());
}

#[test]
fn a_sample_has_the_same_fields_encrypted() {
    let fields = settings(&FIELDS).fields;
    let sample = sample(br#"{"email":"ada","card":{"number":1}}"#, &fields).unwrap();
    let found: BTreeSet<String> = crate::encryption::ciphertexts(std::str::from_utf8(&sample).unwrap())
        .iter()
        .map(|found| Message::parse(&found.bytes).unwrap().context[ATTRIBUTE].clone())
        .collect();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["card.number", "email"]);
}
