//! The clients of an image: its watchers and the holders of its lock.

use http::Method;
use rbd_model::clients::{Lock, Watcher};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answer::{Content, NoContent};
use crate::endpoint::Endpoint;
use crate::input::{NoBody, NoQuery};
use crate::list::List;
use crate::path::ImagePath;

const TAG: &str = "images";

endpoints! {
    /// List who has an image open for writing.
    LIST_WATCHERS: Endpoint<ImagePath, NoQuery, NoBody, Content<List<Watcher>>> =
        Endpoint::new(
            Method::GET,
            "{scope}/images/{image}/watchers",
            TAG,
            "listWatchers",
            "List who has an image open for writing",
        )
            .describe(
                "Reading adds no watcher. Of a client that died the watch ends by itself after about 30 s \
                 (`osd_client_watch_timeout`).",
            )
            .answers(&["The clients."]);

    /// List who holds the lock of an image.
    LIST_LOCKS: Endpoint<ImagePath, NoQuery, NoBody, Content<List<Lock>>> =
        Endpoint::new(
            Method::GET,
            "{scope}/images/{image}/locks",
            TAG,
            "listLocks",
            "List who holds the lock of an image",
        )
            .answers(&["The holders; none when it is free."]);

    /// Take the lock of an image away from a client.
    BREAK_LOCK: Endpoint<ImagePath, LockHolder, NoBody, NoContent> =
        Endpoint::new(
            Method::DELETE,
            "{scope}/images/{image}/locks",
            TAG,
            "breakLock",
            "Take the lock of an image away from a client",
        )
            .describe(
                "The client is blocklisted first, unless the cluster says otherwise (`rbd_blocklist_on_break_lock`): \
                 for an hour (`rbd_blocklist_expire_seconds`) it cannot write to any image of the cluster, and what \
                 it had not written is lost. Only for a client that has died or cannot be reached.",
            )
            .answers(&["The lock is free."]);
}

/// Who holds a lock.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockHolder {
    /// The client that holds the lock, such as `client.4123`.
    pub client: String,
    /// The cookie it holds it with.
    pub cookie: String,
}
