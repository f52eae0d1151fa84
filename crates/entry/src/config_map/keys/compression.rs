//! Compression of answers.

use nginx_conf::{Brotli, Gzip, is_media_type};

use super::connections::set;
use super::{ConfigKey, left_out, not_followed_unless, read};
use crate::config_map::key_context::{KeyContext, Remark};
use crate::config_map::shared_settings::SharedSettings;
use crate::config_map::values::{number, switch};

const HINT: &str = "write media types with blanks, such as `text/css application/json`";

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
    read("gzip-types", gzip_types, "Media types that are compressed beside `text/html`, with blanks; `*` for all"),
    not_followed_unless("gzip-disable", &[""], "browsers that cannot read it have not been around for long"),
    read(
        "enable-brotli",
        enable_brotli,
        "Whether answers are compressed with Brotli for clients that can read it, where nginx has a module for it: that of Debian's package \
         `libnginx-mod-http-brotli-filter`, one that is compiled in, or the file that `--brotli-module` names. What a client chose and a secret \
         must not be in one answer then",
    ),
    read(
        "brotli-level",
        set!(|text| number(text, 0, 11), |s, level| if let Some(brotli) = &mut s.nginx.brotli {
            brotli.level = u8::try_from(level).unwrap_or(4);
        }),
        "From `0`, fast, to `11`, small",
    ),
    read(
        "brotli-min-length",
        set!(|text| number(text, 0, 1 << 40), |s, bytes| if let Some(brotli) = &mut s.nginx.brotli {
            brotli.min_bytes = bytes;
        }),
        "Shorter bodies, in bytes, are sent as they are",
    ),
    read("brotli-types", brotli_types, "Media types that are compressed beside `text/html`, with blanks; `*` for all"),
];

fn use_gzip(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    settings.nginx.gzip = switch(context.value)?.then(Gzip::default);
    Ok(Remark::None)
}

fn enable_brotli(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    let is_wanted = switch(context.value)?;
    settings.nginx.brotli = (is_wanted && settings.nginx.modules.brotli).then(Brotli::default);
    if is_wanted && settings.nginx.brotli.is_none() {
        let message = "answers are not compressed with Brotli, for which this nginx has no module: install that of Debian's package \
                       libnginx-mod-http-brotli-filter, or name its file with --brotli-module";
        return Ok(Remark::Loss(message.to_owned()));
    }
    Ok(Remark::None)
}

fn gzip_types(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    read_types(context, settings.nginx.gzip.as_mut().map(|gzip| &mut gzip.types))
}

fn brotli_types(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    read_types(context, settings.nginx.brotli.as_mut().map(|brotli| &mut brotli.types))
}

fn read_types(context: &KeyContext<'_>, chosen: Option<&mut Vec<String>>) -> Result<Remark, String> {
    let (types, wrong): (Vec<&str>, Vec<&str>) =
        context.value.split_whitespace().take(200).partition(|text| is_media_type(text));
    if types.is_empty() && !wrong.is_empty() {
        return Err(HINT.to_owned());
    }
    if let Some(chosen) = chosen {
        *chosen = types.into_iter().map(str::to_owned).collect();
        chosen.sort();
        chosen.dedup();
    }
    Ok(left_out(&wrong, HINT))
}
