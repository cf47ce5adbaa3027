//! Where the credentials for an S3 service come from: the variables that all of Amazon's tools know, or a service
//! that they or the machine name.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use url::Url;

use super::lock;
use super::requests::{Call, Client, Content};
use super::signature::Credential;
use super::xml;

/// How long a service that gives credentials may take.
const LIMIT: Duration = Duration::from_secs(3);

/// New ones are asked for so long before the old ones expire.
const SPARE: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

/// Credentials, kept until they expire.
pub(super) struct Credentials {
    source: CredentialSource,
    known: Mutex<Option<(Credential, Timestamp)>>,
}

enum CredentialSource {
    /// They are what the variables say.
    Variables(Credential),
    /// A web identity takes a role, as in Kubernetes (IRSA).
    WebIdentity {
        token_file: PathBuf,
        role: String,
        session: String,
        service: String,
    },
    /// The container's agent gives them, as in ECS and EKS.
    Container {
        url: String,
        token_file: Option<PathBuf>,
    },
    /// The machine's metadata service gives them, as in EC2.
    Machine { service: String, without_token: bool },
}

impl Credentials {
    /// What the variables of the surroundings say, looked up by `variable`, for a bucket in `region`. Nothing is
    /// asked of any service yet.
    ///
    /// # Errors
    /// Half of what is needed is there, in words.
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>, region: &str) -> Result<Self, String> {
        let keys = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"));
        let source = match keys {
            (Some(key), Some(secret)) => CredentialSource::Variables(Credential {
                key,
                secret,
                token: variable("AWS_SESSION_TOKEN"),
            }),
            (Some(_), None) => {
                return Err("AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not".to_owned());
            }
            (None, Some(_)) => {
                return Err("AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not".to_owned());
            }
            (None, None) => {
                let identity = (variable("AWS_WEB_IDENTITY_TOKEN_FILE"), variable("AWS_ROLE_ARN"));
                let token_file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(PathBuf::from);
                if let (Some(token_file), Some(role)) = identity {
                    CredentialSource::WebIdentity {
                        token_file: token_file.into(),
                        role,
                        session: variable("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "erlen".to_owned()),
                        service: variable("AWS_ENDPOINT_URL_STS")
                            .unwrap_or_else(|| format!("https://sts.{region}.amazonaws.com")),
                    }
                } else if let Some(path) = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
                    CredentialSource::Container {
                        url: format!("http://169.254.170.2{path}"),
                        token_file,
                    }
                } else if let Some(url) = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
                    CredentialSource::Container { url, token_file }
                } else {
                    CredentialSource::Machine {
                        service: variable("AWS_METADATA_ENDPOINT")
                            .unwrap_or_else(|| "http://169.254.169.254".to_owned()),
                        without_token: variable("AWS_IMDSV1_FALLBACK").is_some_and(|value| is_yes(&value)),
                    }
                }
            }
        };
        Ok(Self {
            source,
            known: Mutex::default(),
        })
    }

    /// The credentials, asked for where they are not known or about to expire.
    ///
    /// # Errors
    /// The service that should give them does not, in words.
    pub fn current(&self) -> Result<Credential, String> {
        if let CredentialSource::Variables(credential) = &self.source {
            return Ok(credential.clone());
        }
        // Whoever else needs them waits here, and has them then.
        let mut known = lock(&self.known);
        if let Some((credential, end)) = &*known
            && Timestamp::now() + SPARE < *end
        {
            return Ok(credential.clone());
        }
        let (credential, end) = self.ask()?;
        *known = Some((credential.clone(), end));
        Ok(credential)
    }

    fn ask(&self) -> Result<(Credential, Timestamp), String> {
        match &self.source {
            CredentialSource::Variables(credential) => Ok((credential.clone(), Timestamp::MAX)),
            CredentialSource::WebIdentity {
                token_file,
                role,
                session,
                service,
            } => assume_role(token_file, role, session, service)
                .map_err(|problem| format!("the role {role} cannot be taken: {problem}")),
            CredentialSource::Container { url, token_file } => {
                let token = token_file.as_deref().map(read).transpose()?;
                let headers = token.iter().map(|token| (header::AUTHORIZATION, token.as_str()));
                from_json(&text_at(Method::GET, url, headers)?)
                    .map_err(|problem| format!("the container's agent gives no credentials: {problem}"))
            }
            CredentialSource::Machine {
                service,
                without_token,
            } => from_machine(service, *without_token).map_err(|problem| {
                format!(
                    "there are no credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, and this \
                     machine has none to give ({problem})"
                )
            }),
        }
    }
}

/// Whether a variable's value means yes.
pub(super) fn is_yes(value: &str) -> bool {
    matches!(
        value.to_ascii_lowercase().as_str(),
        "1" | "true" | "on" | "yes" | "y"
    )
}

fn read(file: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file);
    text.map(|text| text.trim().to_owned())
        .map_err(|error| format!("the token in `{}` cannot be read: {error}", file.display()))
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>
fn assume_role(
    token_file: &Path,
    role: &str,
    session: &str,
    service: &str,
) -> Result<(Credential, Timestamp), String> {
    let mut url = Url::parse(service).map_err(|error| format!("`{service}` is no address: {error}"))?;
    url.query_pairs_mut().extend_pairs([
        ("Action", "AssumeRoleWithWebIdentity"),
        ("DurationSeconds", "3600"),
        ("RoleArn", role),
        ("RoleSessionName", session),
        ("Version", "2011-06-15"),
        ("WebIdentityToken", &read(token_file)?),
    ]);
    let call = Call::new(Method::POST, url, Content::Bytes(&[]));
    let (_, xml) = Client::new(None)
        .command(&call)
        .map_err(super::TransferError::words)?;
    let text = |name: &str| xml::text(&xml, name).ok_or_else(|| format!("its answer has no {name}"));
    let credential = Credential {
        key: text("AccessKeyId")?,
        secret: text("SecretAccessKey")?,
        token: Some(text("SessionToken")?),
    };
    Ok((credential, time(&text("Expiration")?)?))
}

/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html>
fn from_machine(service: &str, without_token: bool) -> Result<(Credential, Timestamp), String> {
    let lifetime = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
    let token = text_at(
        Method::PUT,
        &format!("{service}/latest/api/token"),
        [(lifetime, "600")],
    );
    let token = match token {
        Ok(token) => Some(token),
        Err(_) if without_token => None,
        Err(problem) => return Err(problem),
    };
    let ask = |place: &str| {
        let name = HeaderName::from_static("x-aws-ec2-metadata-token");
        let headers = token.iter().map(|token| (name.clone(), token.as_str()));
        let url = format!("{service}/latest/meta-data/iam/security-credentials/{place}");
        text_at(Method::GET, &url, headers)
    };
    from_json(&ask(ask("")?.trim())?)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    access_key_id: String,
    secret_access_key: String,
    token: String,
    expiration: String,
}

fn from_json(text: &str) -> Result<(Credential, Timestamp), String> {
    let given: Given = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let credential = Credential {
        key: given.access_key_id,
        secret: given.secret_access_key,
        token: Some(given.token),
    };
    Ok((credential, time(&given.expiration)?))
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| format!("`{text}`, when they expire, is no time"))
}

/// What a service of the machine or the container says.
fn text_at<'a>(
    method: Method,
    url: &str,
    headers: impl IntoIterator<Item = (HeaderName, &'a str)>,
) -> Result<String, String> {
    let url = Url::parse(url).map_err(|error| format!("`{url}` is no address: {error}"))?;
    let content = match method {
        Method::PUT => Content::Bytes(&[]),
        _ => Content::Nothing,
    };
    let mut values = HeaderMap::new();
    for (name, value) in headers {
        let value =
            HeaderValue::from_str(value).map_err(|_| format!("the value of `{name}` cannot be sent"))?;
        values.insert(name, value);
    }
    let call = Call {
        headers: values,
        limit: LIMIT,
        ..Call::new(method, url, content)
    };
    let (_, text) = Client::nearby()
        .command(&call)
        .map_err(super::TransferError::words)?;
    Ok(text)
}
