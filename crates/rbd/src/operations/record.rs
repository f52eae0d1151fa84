//! What is kept of an operation.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rbd_model::operation::Operation;
use serde::{Deserialize, Serialize};

/// An operation, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// What clients see.
    #[serde(flatten)]
    pub operation: Operation,
    /// The replica that runs it; empty when it was handed over.
    pub owner: String,
    /// Counts up while it runs. A replica that sees it stand still for the length of a lease takes the operation over:
    /// that needs no clock that two machines agree on.
    pub beat: u64,
    /// How many replicas have ended, without handing it over, while they ran it.
    #[serde(default)]
    pub deaths: u32,
}

/// An operation's id: where its record is kept, and its key there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id {
    /// The pool's id.
    pub pool_id: i64,
    /// The record's key, a UUID of version 7, so that keys sort by time.
    pub key: String,
    /// The namespace, of a record that is kept in it rather than for the whole pool.
    pub namespace: Option<String>,
}

impl Id {
    /// A new one.
    pub fn new(pool_id: i64, namespace: Option<String>) -> Self {
        Self { pool_id, key: uuid::Uuid::now_v7().to_string(), namespace }
    }

    /// From its text; `None` for what never was one.
    pub fn parse(text: &str) -> Option<Self> {
        let (pool_id, rest) = text.split_once('.')?;
        let (key, namespace) = match rest.split_once('.') {
            None => (rest, None),
            Some((key, namespace)) => {
                let namespace = String::from_utf8(URL_SAFE_NO_PAD.decode(namespace).ok()?).ok()?;
                (key, Some(namespace).filter(|name| !name.is_empty() && !name.contains('\0')))
            }
        };
        if rest.contains('.') && namespace.is_none() {
            return None;
        }
        let uuid: uuid::Uuid = key.parse().ok()?;
        Some(Self { pool_id: pool_id.parse().ok().filter(|id| *id >= 0)?, key: uuid.to_string(), namespace })
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.pool_id, self.key)?;
        match &self.namespace {
            Some(namespace) => write!(f, ".{}", URL_SAFE_NO_PAD.encode(namespace)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rbd_model::names::Place;
    use rbd_model::operation::{OperationState, Progress, Work};

    use super::*;

    #[test]
    fn record_is_read_back_from_its_bytes() {
        let id = Id::new(3, None);
        assert_eq!(Id::parse(&id.to_string()), Some(id.clone()));
        let within = Id::new(3, Some("team/ä.".into()));
        assert_eq!(Id::parse(&within.to_string()), Some(within.clone()));
        let (empty, odd) = (format!("{id}."), format!("{id}.!"));
        for wrong in ["", "3", "3.", "x.y", "-1.0198c5a0-0000-7000-8000-000000000000", "3.1", &empty, &odd] {
            assert_eq!(Id::parse(wrong), None, "{wrong}");
        }
        let now = Timestamp::UNIX_EPOCH;
        let record = Record {
            operation: Operation {
                id: id.to_string(),
                work: Work::Shrink {
                    image: "a".into(),
                    image_id: "1f".into(),
                    from_bytes: 2,
                    to_bytes: 1,
                    force: true,
                },
                place: Place { pool: "p".into(), namespace: String::new() },
                state: OperationState::Running,
                progress: Progress { done: 1, total: 2 },
                waiting_for: None,
                cancel_requested: false,
                cancellable: true,
                requested_by: "x".into(),
                request_id: "r".into(),
                created_at: now,
                updated_at: now,
                finished_at: None,
                resumed: 0,
                problem: None,
            },
            owner: "o".into(),
            beat: 7,
            deaths: 0,
        };
        let bytes = serde_json::to_vec(&record).unwrap();
        assert_eq!(serde_json::from_slice::<Record>(&bytes).unwrap(), record);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains(r#""kind":"shrink","image":"a","imageId":"1f","fromBytes":2"#), "{text}");
    }
}
