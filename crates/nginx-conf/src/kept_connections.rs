//! Connections to backends that are kept for further requests.

use std::time::Duration;

use crate::Version;
use crate::token::{Token, time};
use crate::writer::{Directive, Writer, directive};

/// From here on connections to backends are kept where nothing says otherwise.
pub(crate) const KEPT_BY_DEFAULT: Version = Version::new(1, 29, 7);

/// Connections to backends that are kept for further requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptConnections {
    /// Most idle ones of a worker to all backends of one protocol, and with a template to one backend; 2048 if not given, and with a template
    /// as many as the number of backends allows. None are kept if 0.
    pub most: Option<u32>,
    /// How long one may be idle.
    pub idle: Duration,
    /// For how many requests one is used.
    pub requests: u32,
    /// For how long one is used.
    pub age: Option<Duration>,
}

impl Default for KeptConnections {
    fn default() -> Self {
        // Many servers close an idle connection after 5 s; a request that is sent in that moment is lost.
        Self { most: None, idle: Duration::from_secs(4), requests: 10_000, age: None }
    }
}

impl KeptConnections {
    /// How many are kept where it would be so many without a setting.
    pub(crate) fn count(&self, usual: usize) -> usize {
        self.most.map_or(usual, |most| usual.min(most as usize))
    }

    /// Writes that so many are kept by our module; or, where nginx would keep some by itself, that it keeps none.
    pub(crate) fn write_of_module(&self, writer: &mut Writer<'_>, count: usize, version: Version) {
        if count > 0 {
            let Self { idle, requests, age, most: _ } = self;
            let limits = [Token::number(count as u64), time(*idle), Token::number(*requests)];
            let all = directive("sparrow_keep_connections");
            writer.write(&limits.into_iter().chain(age.map(time)).fold(all, Directive::token));
        }
        if version >= KEPT_BY_DEFAULT {
            writer.write(&directive("keepalive").words(["0"]));
        }
    }

    /// Writes that so many are kept; or, where nginx would keep some by itself, that none are.
    pub(crate) fn write(&self, writer: &mut Writer<'_>, count: usize, version: Version) {
        if count > 0 {
            writer.write(&directive("keepalive").token(Token::number(count as u64)));
            let age = self.age.map(|age| directive("keepalive_time").token(time(age)));
            writer.write(&directive("keepalive_timeout").token(time(self.idle)));
            writer.write(&directive("keepalive_requests").token(Token::number(self.requests)));
            if let Some(age) = age {
                writer.write(&age);
            }
        } else if version >= KEPT_BY_DEFAULT {
            writer.write(&directive("keepalive").words(["0"]));
        }
    }
}
