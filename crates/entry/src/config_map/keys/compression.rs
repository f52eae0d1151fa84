//! Compression of answers.

use nginx_conf::{Gzip, is_media_type};

use super::connections::set;
use super::{ConfigKey, left_out, not_followed_unless, read, unchanged};
use crate::config_map::key_context::{KeyContext, Remark};
use crate::config_map::shared_settings::SharedSettings;
use crate::config_map::values::{number, switch};

const HINT: &str = "write media types with blanks, such as `text/css application/json`";
const BROTLI: &str = "nginx has no Brotli by itself, and `use-gzip` does nearly the same";

pub const KEYS: &[ConfigKey] = &[
    read(
        "use-gzip",
        use_gzip,
        "Whether answers are compressed. What a client chose and a secret must not be in one answer then",
    ),
    read(
        "gzip-level",
        set!(|text| number(text, 1, 9), |s, level| if let Some(gzip) = &mut s.nginx.gzip {
            gzip.level = u8::try_from(level).unwrap_or(1);
        }),
        "From `1`, fast, to `9`, small",
    ),
    read(
        "gzip-min-length",
        set!(|text| number(text, 0, 1 << 40), |s, bytes| if let Some(gzip) = &mut s.nginx.gzip {
            gzip.min_bytes = bytes;
        }),
        "Shorter bodies, in bytes, are sent as they are",
    ),
    read("gzip-types", types, "Media types that are compressed beside `text/html`, with blanks; `*` for all"),
    not_followed_unless("gzip-disable", &[""], "browsers that cannot read it have not been around for long"),
    not_followed_unless("enable-brotli", &["false"], BROTLI),
    unchanged("brotli-level", BROTLI),
    unchanged("brotli-min-length", BROTLI),
    unchanged("brotli-types", BROTLI),
];

fn use_gzip(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    settings.nginx.gzip = switch(context.value)?.then(Gzip::default);
    Ok(Remark::None)
}

fn types(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    let (types, wrong): (Vec<&str>, Vec<&str>) =
        context.value.split_whitespace().take(200).partition(|text| is_media_type(text));
    if types.is_empty() && !wrong.is_empty() {
        return Err(HINT.to_owned());
    }
    if let Some(gzip) = &mut settings.nginx.gzip {
        gzip.types = types.into_iter().map(str::to_owned).collect();
        gzip.types.sort();
        gzip.types.dedup();
    }
    Ok(left_out(&wrong, HINT))
}
