//! ONNX model files as typed messages.
//!
//! Promise: decoding a model and encoding it again loses nothing. prost drops fields its schema does not name, so
//! `proto/onnx.proto` is complete, and the round trip is tested on the models this crate installs.

// Generated: its style is prost's, and most of ONNX is only carried through.
#[allow(clippy::all, missing_docs, dead_code)]
mod schema {
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}

pub(crate) use schema::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto, ValueInfoProto,
    tensor_shape_proto::{Dimension, dimension::Value as DimensionValue},
    type_proto::Value as TypeValue,
};

/// `TensorProto.DataType` of a 32-bit float.
pub(crate) const FLOAT: i32 = 1;

/// `AttributeProto.AttributeType` of a single integer.
const ATTRIBUTE_INT: i32 = 2;

/// `AttributeProto.AttributeType` of a list of integers.
const ATTRIBUTE_INTS: i32 = 7;

/// A node attribute holding one integer.
pub(crate) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(ATTRIBUTE_INT),
        i: Some(value),
        ..AttributeProto::default()
    }
}

/// A node attribute holding a list of integers.
pub(crate) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(ATTRIBUTE_INTS),
        ints: values.to_vec(),
        ..AttributeProto::default()
    }
}

/// A node of the default operator domain.
pub(crate) fn node(op_type: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        name: Some(output.to_owned()),
        op_type: Some(op_type.to_owned()),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute: attributes,
        ..NodeProto::default()
    }
}

/// A 32-bit float tensor.
pub(crate) fn floats(name: &str, dims: &[i64], values: impl Iterator<Item = f32>) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        data_type: Some(FLOAT),
        dims: dims.to_vec(),
        raw_data: Some(values.flat_map(f32::to_le_bytes).collect()),
        ..TensorProto::default()
    }
}

/// The values of a 32-bit float tensor, from whichever of its two encodings it uses; `None` for another type.
pub(crate) fn float_values(tensor: &TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type != Some(FLOAT) {
        return None;
    }
    match &tensor.raw_data {
        Some(raw) => {
            let (words, rest) = raw.as_chunks::<4>();
            rest.is_empty().then(|| words.iter().copied().map(f32::from_le_bytes).collect())
        }
        None => Some(tensor.float_data.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets;

    #[test]
    fn float_tensors_read_the_same_from_both_encodings() {
        let raw = floats("a", &[3], [1.0, -2.5, 0.0].into_iter());
        let listed = TensorProto { raw_data: None, float_data: vec![1.0, -2.5, 0.0], ..raw.clone() };
        assert_eq!(float_values(&raw), Some(vec![1.0, -2.5, 0.0]));
        assert_eq!(float_values(&listed), float_values(&raw));
    }

    #[test]
    fn tensors_of_another_type_or_with_half_a_value_are_not_read() {
        let whole = floats("a", &[1], [1.0].into_iter());
        assert_eq!(float_values(&TensorProto { data_type: Some(7), ..whole.clone() }), None);
        assert_eq!(float_values(&TensorProto { raw_data: Some(vec![0; 5]), ..whole }), None);
    }

    #[test]
    fn the_published_models_survive_a_round_trip_without_losing_a_byte() {
        use prost::Message as _;

        let dir = assets::dir().join("models-src");
        for file in ["face_detection_yunet_2023mar.onnx", "face_recognition_sface_2021dec.onnx"] {
            let bytes = std::fs::read(dir.join(file)).unwrap();
            let model = ModelProto::decode(bytes.as_slice()).unwrap();
            let again = model.encode_to_vec();
            assert_eq!(again.len(), bytes.len(), "{file}");
            assert!(ModelProto::decode(again.as_slice()).unwrap() == model, "{file}");
        }
    }
}
