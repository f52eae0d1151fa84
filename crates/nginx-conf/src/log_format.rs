//! What a line of the access log has.

use std::fmt;
use std::str::FromStr;

use crate::ValueTemplate;

/// What a line of the access log has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFormat {
    /// A JSON object with these fields, in this order.
    Fields(Vec<LogField>),
    /// A text with variables.
    Text {
        /// The text.
        template: ValueTemplate,
        /// How nginx escapes values in it.
        escape: LogEscape,
    },
}

/// How nginx escapes what clients have sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogEscape {
    /// Quotes, backslashes and all that is no printable ASCII as `\xXX`.
    #[default]
    Hexadecimal,
    /// As in a string of JSON.
    Json,
}

impl Default for LogFormat {
    fn default() -> Self {
        Self::Fields(LogField::ALL.to_vec())
    }
}

/// Makes what there is one of for each field: its variant, its name, and the value as JSON, whole or in two pieces around the value of
/// a variable that clients may have chosen.
macro_rules! fields {
    ($($field:ident $name:literal $value:tt)+) => {
        /// A field of a line of the access log.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the name in the log says what it is")]
        pub enum LogField {
            $($field,)+
        }

        impl LogField {
            /// All of them, in their usual order.
            pub const ALL: &'static [Self] = &[$(Self::$field),+];

            /// Its name in the JSON object.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$field => $name,)+
                }
            }

            /// Its name and value in the format.
            pub(crate) fn json(self) -> FieldText {
                match self {
                    $(Self::$field => fields!(@text $name $value),)+
                }
            }
        }
    };
    (@text $name:literal (text $variable:literal)) => { FieldText::Own(concat!("\"", $name, "\":\"", $variable, "\"")) };
    (@text $name:literal (number $variable:literal)) => { FieldText::Own(concat!("\"", $name, "\":", $variable)) };
    (@text $name:literal (client $variable:literal)) => { FieldText::OfClient(concat!("\"", $name, "\":\""), $variable) };
}

/// The text of a field in the format.
#[derive(Debug, Clone, Copy)]
pub enum FieldText {
    /// All of it.
    Own(&'static str),
    /// What is in front of a variable whose value clients choose, and the variable; a quote follows.
    OfClient(&'static str, &'static str),
}

fields! {
    Time "time" (text "$time_iso8601")
    Id "id" (text "$request_id")
    Client "client" (text "$remote_addr")
    Scheme "scheme" (text "$scheme")
    Host "host" (client "$host")
    Method "method" (text "$request_method")
    Uri "uri" (client "$request_uri")
    Protocol "protocol" (text "$server_protocol")
    Status "status" (number "$sparrow_status")
    BytesReceived "bytesReceived" (number "$request_length")
    BytesSent "bytesSent" (number "$bytes_sent")
    Seconds "seconds" (number "$request_time")
    Route "route" (text "$sparrow_route")
    Upstream "upstream" (text "$upstream_addr")
    UpstreamStatus "upstreamStatus" (text "$upstream_status")
    UpstreamConnectSeconds "upstreamConnectSeconds" (text "$upstream_connect_time")
    UpstreamHeaderSeconds "upstreamHeaderSeconds" (text "$upstream_header_time")
    UpstreamSeconds "upstreamSeconds" (text "$upstream_response_time")
    Referer "referer" (client "$http_referer")
    UserAgent "userAgent" (client "$http_user_agent")
}

impl fmt::Display for LogField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for LogField {
    type Err = String;

    /// Reads its name in the JSON object.
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().copied().find(|field| field.name() == text);
        found.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|field| field.name()).collect();
            format!("write some of {}", names.join(", "))
        })
    }
}
