use super::*;

fn context() -> Context {
    [("attribute", "card.number"), ("table", "private-events-results")]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn encrypted() -> EncryptedDataKey {
    EncryptedDataKey {
        key_arn: "arn:aws:kms:eu-west-1:123456789012:key/0d1e2f30-4152-6374-8596-a7b8c9dae0f1".to_owned(),
        ciphertext: vec![1, 2, 3, 4, 5],
    }
}

#[test]
fn only_the_data_key_opens_a_message_and_only_as_it_was() {
    let key = [7; KEY];
    for plaintext in [&b""[..], b"\"4111 1111 1111 1111\"", &vec![b'x'; 100_000]] {
        let bytes = seal(&key, &encrypted(), &context(), plaintext).unwrap();
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((&message.context, &message.data_keys), (&context(), &vec![encrypted()]));
        assert_eq!((message.bytes, message.open(&key).unwrap()), (bytes.len(), plaintext.to_vec()));
        assert_eq!(message.open(&[8; KEY]), Err(MessageError::Authentication));
    }
    let bytes = seal(&key, &encrypted(), &context(), b"secret").unwrap();
    for at in 0..bytes.len() {
        assert!(Message::parse(&bytes[..at]).is_err(), "{at} bytes of it");
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let opened = Message::parse(&changed).and_then(|message| message.open(&key));
        assert!(opened.is_err(), "byte {at} changed");
    }
}

#[test]
fn equal_values_make_different_messages() {
    let seal = || seal(&[7; KEY], &encrypted(), &context(), b"secret").unwrap();
    assert_ne!(seal(), seal());
}

#[test]
fn what_follows_a_message_is_not_part_of_it() {
    let mut bytes = seal(&[7; KEY], &encrypted(), &Context::new(), b"x").unwrap();
    let length = bytes.len();
    bytes.extend(b"more");
    let message = Message::parse(&bytes).unwrap();
    assert_eq!((message.bytes, message.context.len()), (length, 0));
    assert_eq!(message.open(&[7; KEY]).unwrap(), b"x");
}

/// Messages that `aws-encryption-sdk` 4.0.7 for Python has made under the data key 00 01 02 … 1f: of one frame, and of two.
#[test]
fn messages_of_the_sdk_for_python_are_read() {
    use base64::Engine as _;
    let one = concat!(
        "AgR4pdknBfnkHkr0itJEZABeTb6pf2xiH4Vs9c5JYyjNLskAOQACAAlhdHRyaWJ1dGUAC2NhcmQubnVtYmVyAAV0YWJsZQAWcHJp",
        "dmF0ZS1ldmVudHMtcmVzdWx0cwABAAdhd3Mta21zAEthcm46YXdzOmttczpldS13ZXN0LTE6MTIzNDU2Nzg5MDEyOmtleS8wZDFl",
        "MmYzMC00MTUyLTYzNzQtODU5Ni1hN2I4YzlkYWUwZjEABQECAwQFAgAAEACA1nnALDI4ZZ5yfQIJziUFSjx95XGrZJz1/10aM3tF",
        "4UDGyBKjT4Wx8dqCgy8zB+f/////AAAAAQAAAAAAAAAAAAAAAQAAABVf7nhtOpnYwV7JWBqSwEZwN01B8MZgr6TMPPHOY442aQSn",
        "8DW3",
    );
    let two = concat!(
        "AgR4CyT81TX1Pn5YbKWUo2hgML6uCsppvKA8poSftEQaCokAOQACAAlhdHRyaWJ1dGUAC2NhcmQubnVtYmVyAAV0YWJsZQAWcHJp",
        "dmF0ZS1ldmVudHMtcmVzdWx0cwABAAdhd3Mta21zAEthcm46YXdzOmttczpldS13ZXN0LTE6MTIzNDU2Nzg5MDEyOmtleS8wZDFl",
        "MmYzMC00MTUyLTYzNzQtODU5Ni1hN2I4YzlkYWUwZjEABQECAwQFAgAAAIBJeNgwUZAfsgIFYAdUFR+i3rCsn5S/inp1z/oqBfvZ",
        "IFgW29xseRvKd9YNtsH3Kd8AAAABAAAAAAAAAAAAAAABWAS9Wc7gDhsNf5FjCgbCBFNDXVEzcz2Ina33DeywG3nAaBfhN6zQFe8p",
        "SbwaIfYAWV6Ql6S4IPAUAfav4cOi9u4f6Pu8bPKqJWfsU/bpfPMtAzeNmIs2jil7MdyYfqrbgdMkPOQawZjt8BmrEfHvjWwgJVvT",
        "qKpcOxj1nv25tThYHXXjbMaxKNa8hH4vznEm/////wAAAAIAAAAAAAAAAAAAAAIAAABIaP16gp/7b/RWG7JZ7M+vJQKmQKzd4HWX",
        "dBd4uSl6s811RB2gfLxsPOqMVd5iQMPJa4QjopaOvcPD6YXEbwPo2+/728i+IKarYUMRSOjt+vY/h9E76baG2A==",
    );
    let key: Vec<u8> = (0..32).collect();
    for (text, plaintext) in [(one, b"\"4111 1111 1111 1111\"".to_vec()), (two, vec![b'x'; 200])] {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((&message.context, &message.data_keys), (&context(), &vec![encrypted()]));
        assert_eq!((message.bytes, message.open(&key).unwrap()), (bytes.len(), plaintext));
    }
}
