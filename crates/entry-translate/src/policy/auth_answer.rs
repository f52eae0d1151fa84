//! What lines of snippets do with the answer of a server that is asked whether a request may pass: `auth_request_set` gives a part of it a name,
//! and others say it on.

use std::collections::BTreeMap;

use entry_model::RenamedHeader;

/// Most parts that are named.
const MOST: usize = 32;

/// Longest text before what is said on, such as `Bearer `.
const LONGEST_PREFIX: usize = 32;

/// The parts of the answer that have a name, and what is said on of them.
#[derive(Debug, Default)]
pub struct AuthAnswer {
    /// By the name of a variable: a header of the answer, or one of its cookies.
    variables: BTreeMap<String, AnswerPart>,
    /// What backends are told.
    pub renamed: Vec<RenamedHeader>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum AnswerPart {
    /// As nginx writes its name in variables.
    Header(String),
    Cookie,
}

impl AuthAnswer {
    /// Reads `auth_request_set $user $upstream_http_x_auth_request_user`.
    pub fn name(&mut self, variable: &str, value: &str) {
        let is_name = |name: &str| (1..=64).contains(&name.len()) && name.bytes().all(is_of_variable);
        let part = match (value.strip_prefix("$upstream_http_"), value.strip_prefix("$upstream_cookie_")) {
            (Some(header), _) if is_name(header) => AnswerPart::Header(header.to_ascii_lowercase()),
            (_, Some(cookie)) if is_name(cookie) => AnswerPart::Cookie,
            _ => return,
        };
        let Some(variable) = variable.strip_prefix('$').filter(|name| is_name(name)) else { return };
        if self.variables.len() < MOST {
            self.variables.insert(variable.to_owned(), part);
        }
    }

    /// Whether a variable is one of these: by itself it does nothing.
    pub fn has(&self, variable: &str) -> bool {
        variable.strip_prefix('$').is_some_and(|name| self.variables.contains_key(name))
    }

    /// The header that has this name and this value, such as `Bearer $token`.
    pub fn renamed(&self, name: &str, value: &str) -> Option<RenamedHeader> {
        let (prefix, variable) = value.split_once('$')?;
        let braced = variable.strip_prefix('{').and_then(|variable| variable.strip_suffix('}'));
        let AnswerPart::Header(of) = self.variables.get(braced.unwrap_or(variable))? else { return None };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b" -._=".contains(&byte);
        let is_prefix = prefix.len() <= LONGEST_PREFIX && prefix.bytes().all(is_plain);
        (is_prefix && self.renamed.len() < MOST).then(|| RenamedHeader {
            name: name.to_owned(),
            prefix: prefix.to_owned(),
            of: of.clone(),
        })
    }

    /// Whether a value of `Set-Cookie` is that of the answer, which clients get anyway.
    pub fn is_cookie(&self, value: &str) -> bool {
        let is_header = |name: &str| self.variables.get(name) == Some(&AnswerPart::Header("set_cookie".to_owned()));
        value == "$auth_cookie" || value.strip_prefix('$').is_some_and(is_header)
    }
}

fn is_of_variable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether a block of Lua is the one with which oauth2-proxy's documentation has clients told the second part of a session, which is done anyway.
pub fn is_second_cookie(code: &str) -> bool {
    let words: Vec<&str> = code.split_whitespace().collect();
    let [
        "if",
        tested,
        "~=",
        "\"\"",
        "then",
        "ngx.header[\"Set-Cookie\"]",
        "=",
        cookie,
        "..",
        said,
        "..",
        "ngx.var.auth_cookie:match(\"(;",
        ".*)\")",
        "end",
    ] = words.as_slice()
    else {
        return false;
    };
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| is_of_variable(byte) || byte == b'-');
    let cookie = cookie.strip_prefix('"').and_then(|cookie| cookie.strip_suffix("=\""));
    tested == said && tested.strip_prefix("ngx.var.").is_some_and(is_name) && cookie.is_some_and(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_of_the_answer_is_said_on_by_another_name() {
        let mut answer = AuthAnswer::default();
        answer.name("$token", "$upstream_http_X_Auth_Request_Access_Token");
        answer.name("$cookie", "$upstream_cookie_session_1");
        answer.name("$all", "$upstream_http_set_cookie");
        for (variable, value) in
            [("$x", "$http_cookie"), ("$x", "$upstream_http_"), ("x", "$upstream_http_a"), ("$x;", "$upstream_http_a")]
        {
            answer.name(variable, value);
        }
        assert!(answer.has("$token") && answer.has("$cookie") && !answer.has("$x"));
        assert!(answer.is_cookie("$all") && answer.is_cookie("$auth_cookie") && !answer.is_cookie("$token"));
        for (value, prefix) in [("Bearer $token", "Bearer "), ("$token", ""), ("${token}", "")] {
            let renamed = answer.renamed("Authorization", value).unwrap();
            assert_eq!((&*renamed.prefix, &*renamed.of), (prefix, "x_auth_request_access_token"), "{value}");
        }
        for value in [
            "$token$token",
            "$token x",
            "$other",
            "$cookie",
            "x",
            "\"; $token",
            "${token",
            &("a".repeat(33) + "$token"),
        ] {
            assert_eq!(answer.renamed("Authorization", value), None, "{value}");
        }
    }

    #[test]
    fn block_of_lua_is_known_word_by_word() {
        let known = "\n  if ngx.var.name_upstream_1 ~= \"\" then\n    ngx.header[\"Set-Cookie\"] = \"name_1=\" .. ngx.var.name_upstream_1 .. \
                     ngx.var.auth_cookie:match(\"(; .*)\")\n  end\n";
        assert!(is_second_cookie(known));
        for (part, other) in [
            ("if ", "ngx.exit(403) if "),
            ("end", "end ngx.exit(403)"),
            ("..", "--"),
            ("\"name_1=\"", "ngx.exit(403)"),
            ("if ngx.var.name_upstream_1", "if ngx.exit(403)"),
            ("~=", "=="),
        ] {
            assert!(!is_second_cookie(&known.replacen(part, other, 1)), "{other}");
        }
    }
}
