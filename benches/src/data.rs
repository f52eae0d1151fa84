//! An image's bytes: export and import.

use anyhow::Result;

use crate::figure::Figure;
use crate::stage::Stage;

/// Export and import of an image of 1 GiB that is half empty.
///
/// # Errors
/// Ceph or the service fails.
#[expect(clippy::unnecessary_wraps, reason = "as the others")]
pub fn data(_stage: &Stage) -> Result<Vec<Figure>> {
    let why = "there are no endpoints for data yet";
    Ok(vec![
        Figure::missing("export-vs-rbd-export", ">= 0.95 x", why),
        Figure::missing("import-vs-rbd-import", ">= 0.95 x", why),
    ])
}
