//! A module that nginx does not load: what it is built for, and what is to be done.
//!
//! A module is for one version of nginx, and for builds with the same signature. nginx compares both (`ngx_load_module`), and names the
//! versions as numbers, such as 1022001.

use std::path::Path;

/// Adds what is to be done to what nginx says of a module that it does not load. Any other text stays as it is.
pub(crate) fn explain_unloadable_module(said: String) -> String {
    match said.lines().find_map(advice) {
        Some(advice) => format!("{said}; {advice}"),
        None => said,
    }
}

/// What is to be done about a line of nginx; none if it is about no module.
fn advice(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("module \"").or_else(|| line.split_once("dlopen() \""))?;
    let (path, said) = rest.split_once('"')?;
    let is_stream = Path::new(path).file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"ngx_stream"));
    let or =
        if is_stream { "or run sparrow-entry without --stream-module" } else { "or have scripts/build-nginx build it" };
    let fit = format!("take an image in which the two belong together, {or}");
    if let Some(numbers) = said.strip_prefix(" version ") {
        let (built_for, rest) = numbers.split_once(" instead of ")?;
        let (built_for, running) = (version(built_for)?, version(rest.split(' ').next()?)?);
        return Some(format!("the module is built for nginx {built_for}, and this is nginx {running}: {fit}"));
    }
    if said.starts_with(" is not binary compatible") {
        return Some(format!("the module is built for an nginx that was configured differently from this one: {fit}"));
    }
    if !said.starts_with(" failed") {
        return None;
    }
    if said.contains("Dynamic loading not supported") {
        return Some("this nginx is linked statically and loads no module: take another".to_owned());
    }
    let missing = "the image of nginx has no such file: take one that has the module";
    let named = if is_stream { "--stream-module" } else { "--nginx-module" };
    said.contains("No such file or directory").then(|| format!("{missing}, or name where it is with {named}"))
}

/// `1.22.1` of `1022001`.
fn version(number: &str) -> Option<String> {
    let number: u32 = number.parse().ok()?;
    Some(format!("{}.{}.{}", number / 1_000_000, number / 1000 % 1000, number % 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_modules_that_are_not_loaded_are_explained() {
        for said in [
            "nginx: [emerg] unknown directive \"module\" in /a/nginx.conf:3",
            "nginx: [emerg] module \"/m.so\" is already loaded in /a/nginx.conf:1",
            "nginx: [emerg] module \"/m.so\" version 1 instead",
            "nginx: [emerg] dlopen() \"/m.so\" failed (/m.so: undefined symbol: x) in /a/nginx.conf:1",
            "",
        ] {
            assert_eq!(explain_unloadable_module(said.to_owned()), said);
        }
    }

    #[test]
    fn stream_module_has_its_own_flag() {
        let said =
            "nginx: [emerg] module \"/m/ngx_stream_module.so\" version 1022001 instead of 1026003 in /a/nginx.conf:1";
        let explained = explain_unloadable_module(said.to_owned());
        assert!(explained.contains("built for nginx 1.22.1, and this is nginx 1.26.3: "), "{explained}");
        assert!(explained.ends_with("without --stream-module"), "{explained}");
    }
}
