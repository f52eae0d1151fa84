//! A server that is asked for all, as settings have it.
//!
//! What cannot be used of that closes: nobody passes until it is mended, since they would pass unasked.

use entry_model::{PathMatch, UrlText};

use super::auth_values::{parse_header_names, parse_method, parse_parameter, parse_sign_in};
use super::url::{HttpUrl, parse_http_url, parse_url_text};

/// Where challenges of ACME are answered, for which nobody is asked.
const ACME_CHALLENGES: &str = "/.well-known/acme-challenge";

/// Most paths for which nobody is asked.
const MOST_EXEMPT: usize = 100;

/// A server that is asked whether requests may pass, of all rules whose objects say nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalAuth {
    /// The URL that is asked; none if none is written, or one that cannot be used.
    url: Option<HttpUrl>,
    /// Whether somebody is to be asked.
    is_asked: bool,
    /// Whether something cannot be used without which requests might pass that must not.
    is_broken: bool,
    method: Option<String>,
    response_headers: Vec<String>,
    sign_in: Option<String>,
    redirect_parameter: Option<String>,
    request_redirect: Option<UrlText>,
    always_set_cookie: bool,
    exempt: Vec<String>,
}

/// What is asked for all, in the values of a question.
#[derive(Debug)]
pub(crate) struct GlobalQuestion<'a> {
    pub(crate) url: &'a HttpUrl,
    pub(crate) method: Option<&'a String>,
    pub(crate) response_headers: &'a [String],
    pub(crate) sign_in: Option<UrlText>,
    pub(crate) request_redirect: Option<&'a UrlText>,
    pub(crate) always_set_cookie: bool,
}

impl Default for GlobalAuth {
    /// Nobody is asked.
    fn default() -> Self {
        Self {
            url: None,
            is_asked: false,
            is_broken: false,
            method: None,
            response_headers: Vec::new(),
            sign_in: None,
            redirect_parameter: None,
            request_redirect: None,
            always_set_cookie: false,
            exempt: vec![ACME_CHALLENGES.to_owned()],
        }
    }
}

impl GlobalAuth {
    /// Whether somebody is to be asked.
    pub fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// What is asked, of whom; none if what says so cannot be used.
    pub(crate) fn question(&self) -> Option<GlobalQuestion<'_>> {
        let url = self.url.as_ref().filter(|_| !self.is_broken)?;
        let parameter = self.redirect_parameter.as_deref().unwrap_or("rd");
        Some(GlobalQuestion {
            url,
            method: self.method.as_ref(),
            response_headers: &self.response_headers,
            sign_in: self.sign_in.as_ref().and_then(|text| parse_sign_in(text, parameter).ok()),
            request_redirect: self.request_redirect.as_ref(),
            always_set_cookie: self.always_set_cookie,
        })
    }

    /// Whether nobody is asked for requests of a path. Of a pattern it cannot be known, so somebody is.
    pub(crate) fn exempts(&self, path: &PathMatch) -> bool {
        let is_below = |exempt: &String| {
            let exempt = exempt.trim_end_matches('/');
            path.text().strip_prefix(exempt).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        !matches!(path, PathMatch::Regex(_)) && self.exempt.iter().any(is_below)
    }

    /// The URL that is asked. One that cannot be used lets nobody pass; without one nobody is asked.
    ///
    /// # Errors
    /// What to write instead.
    pub fn set_url(&mut self, text: &str) -> Result<(), &'static str> {
        self.is_asked = !text.is_empty();
        if text.is_empty() {
            self.url = None;
            return Ok(());
        }
        self.url = Some(self.or_broken(parse_http_url(text))?);
        Ok(())
    }

    /// The method with which it is asked. One that cannot be used lets nobody pass.
    ///
    /// # Errors
    /// What to write instead.
    pub fn set_method(&mut self, text: &str) -> Result<(), &'static str> {
        self.method = if text.is_empty() { None } else { Some(self.or_broken(parse_method(text))?) };
        Ok(())
    }

    /// The headers of its answer that backends are told, in place of a client's. Those that cannot be used let nobody pass.
    ///
    /// # Errors
    /// What to write instead.
    pub fn set_response_headers(&mut self, text: &str) -> Result<(), &'static str> {
        self.response_headers = self.or_broken(parse_header_names(text))?;
        Ok(())
    }

    /// Where clients sign in.
    ///
    /// # Errors
    /// What to write instead.
    pub fn set_sign_in(&mut self, text: &str) -> Result<(), &'static str> {
        if !text.is_empty() {
            parse_sign_in(text, "rd")?;
        }
        self.sign_in = Some(text.to_owned()).filter(|text| !text.is_empty());
        Ok(())
    }

    /// The parameter of that URL that says where a client wants to go.
    ///
    /// # Errors
    /// What to write instead.
    pub fn set_redirect_parameter(&mut self, text: &str) -> Result<(), &'static str> {
        self.redirect_parameter = Some(parse_parameter(text)?);
        Ok(())
    }

    /// What the server is told of where the client wants to go.
    ///
    /// # Errors
    /// What to write instead.
    pub fn set_request_redirect(&mut self, text: &str) -> Result<(), &'static str> {
        self.request_redirect = Some(parse_url_text(text)?).filter(|text| !text.0.is_empty());
        Ok(())
    }

    /// Whether clients get the cookies of its answer with every answer.
    pub fn set_always_set_cookie(&mut self, always: bool) {
        self.always_set_cookie = always;
    }

    /// The paths for which, and for what is below them, nobody is asked, in place of those of challenges of ACME.
    ///
    /// # Errors
    /// What to write instead.
    pub fn set_exempt_paths(&mut self, paths: &[&str]) -> Result<(), &'static str> {
        let is_path =
            |path: &&str| path.starts_with('/') && path.len() <= 1024 && !path.trim_end_matches('/').is_empty();
        if paths.len() > MOST_EXEMPT || !paths.iter().all(is_path) {
            return Err(
                "write paths such as `/healthz` with commas between them, at most 100, and not `/`, which is for all",
            );
        }
        self.exempt = paths.iter().map(|path| (*path).to_owned()).collect();
        Ok(())
    }

    /// Remembers that a value cannot be used.
    fn or_broken<T>(&mut self, value: Result<T, &'static str>) -> Result<T, &'static str> {
        self.is_broken |= value.is_err();
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_exempt_by_segments_and_patterns_never() {
        let mut auth = GlobalAuth::default();
        let path = |text: &str| PathMatch::Prefix(text.into());
        assert!(auth.exempts(&path("/.well-known/acme-challenge/x")) && !auth.exempts(&path("/")));
        auth.set_exempt_paths(&["/public/", "/health"]).unwrap();
        for (text, is_exempt) in [
            ("/public", true),
            ("/public/a", true),
            ("/publicity", false),
            ("/health", true),
            ("/healthz", false),
            ("/.well-known/acme-challenge", false),
        ] {
            assert_eq!(auth.exempts(&path(text)), is_exempt, "{text}");
        }
        for paths in [&["/"][..], &["health"], &["//"]] {
            assert!(auth.set_exempt_paths(paths).is_err(), "{paths:?}");
        }
    }

    #[test]
    fn value_that_cannot_be_used_lets_nobody_pass() {
        let mut auth = GlobalAuth::default();
        assert!(auth.set_method("get").is_err() && !auth.is_asked());
        auth.set_url("http://auth.example.com/verify").unwrap();
        assert!(auth.is_asked() && auth.question().is_none(), "by the method");
        let mut auth = GlobalAuth::default();
        assert!(auth.set_url("auth").is_err() && auth.is_asked() && auth.question().is_none());
        let mut auth = GlobalAuth::default();
        auth.set_url("").unwrap();
        assert!(!auth.is_asked());
        auth.set_url("http://auth.example.com").unwrap();
        auth.set_sign_in("https://auth.example.com/start").unwrap();
        auth.set_redirect_parameter("return_to").unwrap();
        let sign_in = auth.question().and_then(|question| question.sign_in).unwrap().to_string();
        assert!(sign_in.contains("start?return_to="), "{sign_in}");
    }
}
