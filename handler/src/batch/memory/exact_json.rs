//! JSON whose numbers come back as they were written.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Number, Value};

/// Reads JSON. `serde_json` reads some fractions as the neighbour of what was written, so that a state would depend on how
/// often it was stored.
pub(super) fn read(json: &str) -> serde_json::Result<Value> {
    let json = json.trim();
    match json.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(json)?;
            members.into_iter().map(|(name, value)| Ok((name, read(value.get())?))).collect()
        }
        Some(b'[') => {
            let members: Vec<&RawValue> = serde_json::from_str(json)?;
            members.into_iter().map(|value| read(value.get())).collect::<Result<_, _>>().map(Value::Array)
        }
        Some(b'-' | b'0'..=b'9') if json.contains(['.', 'e', 'E']) => {
            // It has to be JSON all the same.
            let near: Value = serde_json::from_str(json)?;
            Ok(json.parse().ok().and_then(Number::from_f64).map_or(near, Value::Number))
        }
        _ => serde_json::from_str(json),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_written_comes_back() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let number = f64::from_bits(rng.u64(..));
            if !number.is_finite() {
                continue;
            }
            let value = json!({ "a": [number, 1, 1.0, -7, u64::MAX], "b": { "text": "1.5 \" {", "c": null, "d": [] } });
            assert_eq!(read(&value.to_string()).unwrap(), value);
        }
        for wrong in ["", "{", "[1", "1.", "{\"a\":1.5.5}", "nul", "1.5 2"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
