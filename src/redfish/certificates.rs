//! Schemas CertificateService, CertificateLocations and Certificate: the one certificate of the service. All managers
//! share it, since all of them are reached through the same listeners.

use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::message::{ErrorResponse, Message};
use super::resource::{
    CERTIFICATE, CERTIFICATE_LOCATIONS, CERTIFICATE_SERVICE, CERTIFICATES, REPLACE_CERTIFICATE, Resource, at, link,
};
use super::schema;
use super::{Document, GetRequest, Pending, Reply, WriteRequest};
use crate::http::tls::{Certificate, ReplaceError, pem};
use crate::node::NodeId;

const ACTION: &str = "CertificateService.ReplaceCertificate";

/// A manager has one certificate.
const ID: &str = "1";

fn collection_uri(manager: &NodeId) -> String {
    at(CERTIFICATES, &[manager])
}

fn uri(manager: &NodeId) -> String {
    at(CERTIFICATE, &[manager, &ID])
}

/// `HTTPS.Certificates` of a manager's NetworkProtocol: a link where clients can replace the certificate. Without TLS
/// there is none, and one from files is not for clients to replace, so it is not offered there.
pub(crate) fn link_of(seen: &GetRequest<'_>, manager: &NodeId) -> Option<Value> {
    let certificate = seen.service.certificate.as_ref()?;
    certificate.is_replaceable().then(|| link(&collection_uri(manager)))
}

fn in_use<'a>(seen: &GetRequest<'a>) -> Result<&'a Arc<Certificate>, ErrorResponse> {
    seen.service.certificate.as_ref().ok_or_else(|| seen.not_found())
}

/// `GET /redfish/v1/CertificateService`.
pub(crate) fn service(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let replace = in_use(seen)?.is_replaceable().then(|| {
        json!({
            "#CertificateService.ReplaceCertificate": {
                "target": REPLACE_CERTIFICATE,
                "CertificateType@Redfish.AllowableValues": TYPES,
            },
        })
    });
    let properties = json!({
        "Description": "The certificate that this service shows to its clients.",
        "CertificateLocations": link(CERTIFICATE_LOCATIONS),
        "Actions": replace,
    });
    let (schema, id) = (schema::CERTIFICATE_SERVICE, "CertificateService");
    Ok(Resource::new(CERTIFICATE_SERVICE, schema, id, "Certificate Service", properties))
}

/// `GET /redfish/v1/CertificateService/CertificateLocations`.
pub(crate) fn locations(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    in_use(seen)?;
    let table = seen.service.fleet.table();
    let certificates: Vec<Value> = seen.visible(&table).map(|node| link(&uri(&node.id))).collect();
    let properties = json!({
        "Description": "Where the certificate is shown: with each manager, since all of them are reached in the same way.",
        "Links": { "Certificates@odata.count": certificates.len(), "Certificates": certificates },
    });
    let (schema, id) = (schema::CERTIFICATE_LOCATIONS, "CertificateLocations");
    Ok(Resource::new(CERTIFICATE_LOCATIONS, schema, id, "Certificate Locations", properties))
}

/// `GET /redfish/v1/Managers/{id}/NetworkProtocol/HTTPS/Certificates`.
pub(crate) fn collection(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    in_use(seen)?;
    let manager = &seen.node()?.id;
    let members = std::iter::once(uri(manager));
    Ok(Resource::collection(&collection_uri(manager), schema::CERTIFICATE_COLLECTION, "HTTPS Certificates", members))
}

/// `GET /redfish/v1/Managers/{id}/NetworkProtocol/HTTPS/Certificates/{id}`.
pub(crate) fn certificate(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let certificate = in_use(seen)?;
    let node = seen.node()?;
    if seen.id(1) == ID { Ok(resource(certificate, &node.id)) } else { Err(seen.not_found()) }
}

/// `CertificateType` of a single certificate, and of one with those that lead to its authority.
const TYPES: [&str; 2] = ["PEM", "PEMchain"];

fn resource(certificate: &Certificate, manager: &NodeId) -> Resource {
    let chain = certificate.chain();
    let [single, several] = TYPES;
    let fingerprint = chain.first().map(|own| {
        let bytes = Sha256::digest(own);
        bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    });
    let properties = json!({
        "Description": "The certificate that this service shows to its clients.",
        "CertificateString": chain.iter().map(pem).collect::<String>(),
        "CertificateType": if chain.len() > 1 { several } else { single },
        "CertificateUsageTypes": ["Web"],
        "Fingerprint": fingerprint,
        "FingerprintHashAlgorithm": "TPM_ALG_SHA256",
    });
    Resource::new(&uri(manager), schema::CERTIFICATE, ID, "HTTPS Certificate", properties)
}

/// `POST /redfish/v1/CertificateService/Actions/CertificateService.ReplaceCertificate`.
pub(crate) fn replace(asked: WriteRequest<'_>) -> Pending<'_> {
    Box::pin(async move {
        let seen = &asked.seen;
        let certificate = in_use(seen)?.clone();
        let object = asked.body.object()?;
        if let Some(odd) = object.keys().find(|name| !PARAMETERS.contains(&name.as_str()) && !name.contains('@')) {
            return Err(ErrorResponse::bad_request("ActionParameterUnknown", &[ACTION, odd]));
        }
        let parameter = |name| {
            object.get(name).ok_or_else(|| ErrorResponse::bad_request("ActionParameterMissing", &[ACTION, name]))
        };
        let [text, kind, place] = PARAMETERS;
        let (pem, kind_given, place_given) = (parameter(text)?, parameter(kind)?, parameter(place)?);
        // The text is not repeated: there is a private key in it.
        let wrong =
            |name, shown: &str| ErrorResponse::bad_request("ActionParameterValueTypeError", &[shown, name, ACTION]);
        let pem = pem.as_str().ok_or_else(|| wrong(text, "(hidden)"))?.to_owned();
        let kind_given = kind_given.as_str().ok_or_else(|| wrong(kind, "(no text)"))?;
        let place_given =
            place_given.get("@odata.id").and_then(Value::as_str).ok_or_else(|| wrong(place, "(no link)"))?;
        let unknown = |value: &str, name| {
            ErrorResponse::bad_request("ActionParameterValueNotInList", &[&super::body::clip(value), name, ACTION])
        };
        if !TYPES.contains(&kind_given) {
            return Err(unknown(kind_given, kind));
        }
        let table = seen.service.fleet.table();
        let manager =
            table.keys().find(|manager| uri(manager) == place_given).ok_or_else(|| unknown(place_given, place))?;
        let changed = certificate.clone();
        let replaced = actix_web::web::block(move || changed.replace(&pem)).await;
        replaced.map_err(|_| ErrorResponse::later(None, std::time::Duration::from_secs(1)))?.map_err(refused)?;
        let by = seen.caller.name.as_ref();
        tracing::info!(event = "certificate_replaced", by, "another certificate is shown from now on");
        let document = Document::Resource(resource(&certificate, manager));
        Ok(Reply::Created { location: uri(manager), document, token: None })
    })
}

const PARAMETERS: [&str; 3] = ["CertificateString", "CertificateType", "CertificateUri"];

fn refused(error: ReplaceError) -> ErrorResponse {
    let words = error.to_string();
    let mut message = match error {
        ReplaceError::FromFiles => Message::base("ActionNotSupported", &[ACTION]),
        ReplaceError::Unusable(_) => Message::base("ActionParameterValueError", &["CertificateString", ACTION]),
        ReplaceError::CannotWrite { .. } => return ErrorResponse::new(507, Message::ours("CannotWrite", &[&words])),
    };
    message.advise(&format!("Send a PEM text of one private key and its certificates: {words}."));
    if matches!(error, ReplaceError::FromFiles) {
        message.advise(&format!("It cannot be replaced here: {words}."));
    }
    ErrorResponse::new(400, message)
}
