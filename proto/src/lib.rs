//! Wire types between the gateway and the central eligibility system, generated from `proto/*.proto`.

/// Version 1 of the central service.
pub mod central_v1 {
    #![allow(missing_docs, clippy::all)]
    tonic::include_proto!("uketsuke.central.v1");
}
