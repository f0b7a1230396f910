//! The message format of the AWS Encryption SDK, version 2, with the algorithm suite `0x0478`: what one value becomes, and what
//! the SDKs of other languages decrypt.
//!
//! `0x0478` is AES-256 in Galois/Counter Mode; each message has a key of its own, which HKDF with SHA-512 derives from the data key,
//! and commits to it: no two keys open the same message to different texts. It has no signature: that serves readers who may decrypt and
//! must not be able to encrypt, and costs an elliptic curve for each value; here whoever reads trusts whoever reads besides.
//!
//! <https://docs.aws.amazon.com/encryption-sdk/latest/developer-guide/message-format.html>

use std::collections::BTreeMap;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, Tag, UnboundKey};
use ring::hkdf::{HKDF_SHA512, KeyType, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};

/// The encryption context: what the ciphertext is bound to, in clear.
pub type Context = BTreeMap<String, String>;

/// Version and algorithm suite, with which each message begins.
const BEGIN: [u8; 3] = [0x02, 0x04, 0x78];
const SUITE: [u8; 2] = [0x04, 0x78];
const KEY: usize = 32;
const MESSAGE_ID: usize = 32;
const COMMITMENT: usize = 32;
const FRAMED: u8 = 0x02;
/// A value is part of a record, and Kinesis takes records of up to 10 MiB: each value is one frame.
const FRAME_BYTES: u32 = 16 * 1024 * 1024;
const LAST_FRAME: [u8; 4] = [0xFF; 4];
const LAST_FRAME_AAD: &[u8] = b"AWSKMSEncryptionClient Final Frame";
const FRAME_AAD: &[u8] = b"AWSKMSEncryptionClient Frame";
/// What says that a data key is encrypted by KMS.
pub(super) const PROVIDER: &str = "aws-kms";

/// Why a message can't be made or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It is none, or ends too early.
    #[error("no message of the AWS Encryption SDK with the algorithm suite 0x0478")]
    Format,
    /// The key is another, or something was changed.
    #[error("the key does not fit the message, or the message was changed")]
    Authentication,
    /// The machine has no random numbers, or a part is too long.
    #[error("the message could not be made")]
    Making,
}

/// A data key as KMS has encrypted it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EncryptedDataKey {
    /// The ARN of the KMS key.
    pub key_arn: String,
    /// What `Decrypt` takes.
    pub ciphertext: Vec<u8>,
}

/// A message, taken apart and not decrypted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is bound to. Not authenticated before [`open`](Self::open).
    pub context: Context,
    /// The data key, encrypted under each of these KMS keys.
    pub data_keys: Vec<EncryptedDataKey>,
    /// How many bytes the message has.
    pub bytes: usize,
    id: &'a [u8],
    commitment: &'a [u8],
    header: &'a [u8],
    header_tag: &'a [u8],
    frame_bytes: usize,
    body: &'a [u8],
}

/// A length for HKDF.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive(salt: &[u8], data_key: &[u8], info: &[&[u8]]) -> Result<[u8; KEY], MessageError> {
    let mut derived = [0; KEY];
    let key = Salt::new(HKDF_SHA512, salt).extract(data_key);
    let expanded = key.expand(info, Length(KEY)).and_then(|okm| okm.fill(&mut derived));
    expanded.map(|()| derived).map_err(|_| MessageError::Making)
}

/// The key of a message.
fn message_key(data_key: &[u8], id: &[u8]) -> Result<LessSafeKey, MessageError> {
    let key = derive(id, data_key, &[&SUITE, b"DERIVEKEY"])?;
    UnboundKey::new(&AES_256_GCM, &key).map(LessSafeKey::new).map_err(|_| MessageError::Making)
}

fn commitment(data_key: &[u8], id: &[u8]) -> Result<[u8; COMMITMENT], MessageError> {
    derive(id, data_key, &[b"COMMITKEY"])
}

/// The nonce of a frame is its number; the header's is zero. The key is the message's own, so none is used twice.
fn nonce(number: u32) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - 4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn frame_aad(id: &[u8], kind: &[u8], number: u32, bytes: usize) -> Vec<u8> {
    [id, kind, &number.to_be_bytes(), &(bytes as u64).to_be_bytes()].concat()
}

/// Adds a part with its length before it.
fn push(into: &mut Vec<u8>, part: &[u8]) -> Result<(), MessageError> {
    let length = u16::try_from(part.len()).map_err(|_| MessageError::Making)?;
    into.extend(length.to_be_bytes());
    into.extend(part);
    Ok(())
}

/// The context as a message holds it.
fn serialized(context: &Context) -> Result<Vec<u8>, MessageError> {
    if context.is_empty() {
        return Ok(Vec::new());
    }
    let mut pairs = u16::try_from(context.len()).map_err(|_| MessageError::Making)?.to_be_bytes().to_vec();
    for (name, value) in context {
        push(&mut pairs, name.as_bytes())?;
        push(&mut pairs, value.as_bytes())?;
    }
    Ok(pairs)
}

/// Encrypts a value under a data key of 32 bytes, which KMS has encrypted as `encrypted` with the same `context`.
///
/// # Errors
/// The value has more than 16 MiB, the context more than 64 KiB, or the machine no random numbers.
pub fn seal(
    data_key: &[u8],
    encrypted: &EncryptedDataKey,
    context: &Context,
    plaintext: &[u8],
) -> Result<Vec<u8>, MessageError> {
    let length = u32::try_from(plaintext.len()).ok().filter(|length| *length <= FRAME_BYTES);
    let length = length.ok_or(MessageError::Making)?;
    let mut id = [0; MESSAGE_ID];
    SystemRandom::new().fill(&mut id).map_err(|_| MessageError::Making)?;
    let mut message = Vec::with_capacity(512 + plaintext.len());
    message.extend(BEGIN);
    message.extend(id);
    push(&mut message, &serialized(context)?)?;
    message.extend(1_u16.to_be_bytes());
    push(&mut message, PROVIDER.as_bytes())?;
    push(&mut message, encrypted.key_arn.as_bytes())?;
    push(&mut message, &encrypted.ciphertext)?;
    message.push(FRAMED);
    message.extend(FRAME_BYTES.to_be_bytes());
    message.extend(commitment(data_key, &id)?);
    let key = message_key(data_key, &id)?;
    let made = |_| MessageError::Making;
    let tag = key.seal_in_place_separate_tag(nonce(0), Aad::from(&message), &mut []).map_err(made)?;
    message.extend(tag.as_ref());
    message.extend(LAST_FRAME);
    message.extend(1_u32.to_be_bytes());
    message.extend(nonce(1).as_ref());
    message.extend(length.to_be_bytes());
    let aad = frame_aad(&id, LAST_FRAME_AAD, 1, plaintext.len());
    let start = message.len();
    message.extend(plaintext);
    let tag = key.seal_in_place_separate_tag(nonce(1), Aad::from(aad), &mut message[start..]).map_err(made)?;
    message.extend(tag.as_ref());
    Ok(message)
}

/// Takes bytes from the front.
struct Reader<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], MessageError> {
        let end = self.at.checked_add(count).ok_or(MessageError::Format)?;
        let bytes = self.all.get(self.at..end).ok_or(MessageError::Format)?;
        self.at = end;
        Ok(bytes)
    }

    fn number<const BYTES: usize>(&mut self) -> Result<usize, MessageError> {
        Ok(self.bytes(BYTES)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// A part with its length before it.
    fn part(&mut self) -> Result<&'a [u8], MessageError> {
        let length = self.number::<2>()?;
        self.bytes(length)
    }

    fn text(&mut self) -> Result<String, MessageError> {
        String::from_utf8(self.part()?.to_vec()).map_err(|_| MessageError::Format)
    }
}

impl<'a> Message<'a> {
    /// Takes apart the message with which `bytes` begin; more may follow.
    ///
    /// # Errors
    /// There is none, or one of another version or algorithm suite.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader { all: bytes, at: 0 };
        if reader.bytes(BEGIN.len())? != BEGIN {
            return Err(MessageError::Format);
        }
        let id = reader.bytes(MESSAGE_ID)?;
        let context = parse_context(reader.part()?)?;
        let mut data_keys = Vec::new();
        for _ in 0..reader.number::<2>()? {
            let (provider, key_arn, ciphertext) = (reader.text()?, reader.text()?, reader.part()?.to_vec());
            if provider == PROVIDER {
                data_keys.push(EncryptedDataKey { key_arn, ciphertext });
            }
        }
        if reader.bytes(1)? != [FRAMED] {
            return Err(MessageError::Format);
        }
        let frame_bytes = reader.number::<4>()?;
        let commitment = reader.bytes(COMMITMENT)?;
        let header = &bytes[..reader.at];
        let header_tag = reader.bytes(MAX_TAG_LEN)?;
        let body_at = reader.at;
        let mut last = false;
        while !last {
            last = reader.bytes(4)? == LAST_FRAME;
            let length = if last {
                reader.bytes(4 + NONCE_LEN)?;
                reader.number::<4>()?
            } else {
                reader.bytes(NONCE_LEN)?;
                frame_bytes
            };
            if length > frame_bytes {
                return Err(MessageError::Format);
            }
            reader.bytes(length + MAX_TAG_LEN)?;
        }
        let body = &bytes[body_at..reader.at];
        Ok(Self { context, data_keys, bytes: reader.at, id, commitment, header, header_tag, frame_bytes, body })
    }

    /// Decrypts it with the data key.
    ///
    /// # Errors
    /// The data key is another one, or a bit of the message was changed.
    pub fn open(&self, data_key: &[u8]) -> Result<Vec<u8>, MessageError> {
        let differs = commitment(data_key, self.id)?.iter().zip(self.commitment).fold(0, |all, (a, b)| all | (a ^ b));
        if differs != 0 {
            return Err(MessageError::Authentication);
        }
        let key = message_key(data_key, self.id)?;
        opened(&key, 0, self.header, &mut [], self.header_tag)?;
        let mut reader = Reader { all: self.body, at: 0 };
        let mut plaintext = Vec::new();
        for expected in 1_u32.. {
            let mut number = reader.bytes(4)?;
            let last = number == LAST_FRAME;
            if last {
                number = reader.bytes(4)?;
            }
            if number != expected.to_be_bytes() || reader.bytes(NONCE_LEN)? != nonce(expected).as_ref() {
                return Err(MessageError::Authentication);
            }
            let length = if last { reader.number::<4>()? } else { self.frame_bytes };
            let mut content = reader.bytes(length)?.to_vec();
            let tag = reader.bytes(MAX_TAG_LEN)?;
            let aad = frame_aad(self.id, if last { LAST_FRAME_AAD } else { FRAME_AAD }, expected, length);
            opened(&key, expected, &aad, &mut content, tag)?;
            plaintext.extend(content);
            if last {
                break;
            }
        }
        Ok(plaintext)
    }
}

fn opened(key: &LessSafeKey, number: u32, aad: &[u8], content: &mut [u8], tag: &[u8]) -> Result<(), MessageError> {
    let failed = MessageError::Authentication;
    let tag = Tag::try_from(tag).map_err(|_| failed)?;
    key.open_in_place_separate_tag(nonce(number), Aad::from(aad), tag, content, 0..).map(drop).map_err(|_| failed)
}

fn parse_context(bytes: &[u8]) -> Result<Context, MessageError> {
    let mut context = Context::new();
    if bytes.is_empty() {
        return Ok(context);
    }
    let mut reader = Reader { all: bytes, at: 0 };
    for _ in 0..reader.number::<2>()? {
        context.insert(reader.text()?, reader.text()?);
    }
    if reader.at == bytes.len() { Ok(context) } else { Err(MessageError::Format) }
}

#[cfg(test)]
mod tests;
