//! The published models, rewritten to run at any size and twice as fast; what they compute stays the same.
//!
//! Three rewrites, all measured on ONNX Runtime's CPU provider:
//! - **Free sizes.** YuNet declares 640×640 and the runtime enforces it; its operators take any multiple of 32.
//! - **Constants are constants.** Files of IR version 3 list their initializers as graph inputs too. The runtime must
//!   then expect that a caller overrides them and folds nothing (28 instead of 13.5 ms for SFace).
//! - **PReLU as convolutions.** PReLU(x) = Relu(x)·(1−a) + x·a, each product a depthwise 1×1 convolution. PReLU has no
//!   kernel for the runtime's blocked layout, so each of SFace's 27 forced two reorderings (34 → 13.8 ms).

use std::collections::HashSet;

use crate::onnx::{
    self, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, TensorShapeProto, TypeValue, ValueInfoProto,
};

/// Why a model could not be rewritten: it is not the graph this crate knows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RewriteError {
    #[error("not an ONNX file: {0}")]
    Undecodable(#[from] prost::DecodeError),
    #[error("the model holds no graph")]
    NoGraph,
    #[error("PReLU node '{0}' has no per-channel float slope")]
    UnknownSlope(String),
}

/// The detector with free height and width; input bytes and result are ONNX files.
pub(crate) fn detector(model: &[u8]) -> Result<Vec<u8>, RewriteError> {
    edit(model, |graph| {
        constants_are_constants(graph);
        free_sizes(graph);
        Ok(())
    })
}

/// The embedder with folded constants and without PReLU; input bytes and result are ONNX files.
pub(crate) fn embedder(model: &[u8]) -> Result<Vec<u8>, RewriteError> {
    edit(model, |graph| {
        constants_are_constants(graph);
        prelu_as_convolutions(graph)
    })
}

fn edit(
    model: &[u8],
    change: impl FnOnce(&mut GraphProto) -> Result<(), RewriteError>,
) -> Result<Vec<u8>, RewriteError> {
    use prost::Message as _;

    // IR version 4 is the first that allows initializers outside the input list.
    const IR_VERSION_MIN: i64 = 4;

    let mut model = ModelProto::decode(model)?;
    model.ir_version = model.ir_version.max(Some(IR_VERSION_MIN));
    change(model.graph.as_mut().ok_or(RewriteError::NoGraph)?)?;
    Ok(model.encode_to_vec())
}

fn constants_are_constants(graph: &mut GraphProto) {
    let constants: HashSet<_> = graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref()).collect();
    graph.input.retain(|input| !input.name.as_deref().is_some_and(|name| constants.contains(name)));
}

/// Input `1×3×height×width`; outputs `1×cells×values`, cells being named after the output.
fn free_sizes(graph: &mut GraphProto) {
    for input in &mut graph.input {
        free_dimension(input, 2, "height");
        free_dimension(input, 3, "width");
    }
    for output in &mut graph.output {
        let cells = format!("cells_{}", output.name.as_deref().unwrap_or_default());
        free_dimension(output, 1, &cells);
    }
    // Shapes between the nodes are notes of the exporter; all of them say 640×640, and the runtime infers its own.
    graph.value_info.clear();
}

fn free_dimension(value: &mut ValueInfoProto, axis: usize, name: &str) {
    let shape: Option<&mut TensorShapeProto> =
        value.r#type.as_mut().and_then(|kind| kind.value.as_mut()).and_then(|kind| match kind {
            TypeValue::TensorType(tensor) => tensor.shape.as_mut(),
            _ => None,
        });
    if let Some(dimension) = shape.and_then(|shape| shape.dim.get_mut(axis)) {
        *dimension = Dimension { value: Some(DimensionValue::DimParam(name.to_owned())), denotation: None };
    }
}

fn prelu_as_convolutions(graph: &mut GraphProto) -> Result<(), RewriteError> {
    let mut slopes_used = HashSet::new();
    let mut nodes = Vec::with_capacity(graph.node.len() * 2);
    for node in std::mem::take(&mut graph.node) {
        if node.op_type.as_deref() != Some("PRelu") {
            nodes.push(node);
            continue;
        }
        let ([input, slope], [output]) = (node.input.as_slice(), node.output.as_slice()) else {
            return Err(RewriteError::UnknownSlope(node.name.unwrap_or_default()));
        };
        let values = per_channel_slope(graph, slope).ok_or_else(|| RewriteError::UnknownSlope(output.clone()))?;
        let channels = values.len() as i64;
        let [negative, positive] = ["slope", "rest"].map(|part| format!("{output}/{part}"));
        graph.initializer.push(onnx::floats(&negative, &[channels, 1, 1, 1], values.iter().copied()));
        graph.initializer.push(onnx::floats(&positive, &[channels, 1, 1, 1], values.iter().map(|a| 1.0 - a)));
        nodes.extend(prelu_nodes(input, output, channels, &negative, &positive));
        slopes_used.insert(slope.clone());
    }
    graph.node = nodes;
    let still_read: HashSet<_> = graph.node.iter().flat_map(|node| &node.input).collect();
    graph.initializer.retain(|tensor| {
        let name = tensor.name.clone().unwrap_or_default();
        !slopes_used.contains(&name) || still_read.contains(&name)
    });
    Ok(())
}

/// A slope of shape C×1×1, as PReLU broadcasts it over N×C×H×W; `None` for anything else.
fn per_channel_slope(graph: &GraphProto, name: &str) -> Option<Vec<f32>> {
    let tensor = graph.initializer.iter().find(|tensor| tensor.name.as_deref() == Some(name))?;
    let values = onnx::float_values(tensor)?;
    let per_channel = matches!(tensor.dims.as_slice(), &[channels, 1, 1] if channels == values.len() as i64);
    per_channel.then_some(values)
}

fn prelu_nodes(input: &str, output: &str, channels: i64, slope: &str, rest: &str) -> [NodeProto; 4] {
    let [relu, scaled, kept] = ["relu", "scaled", "kept"].map(|part| format!("{output}/{part}"));
    let depthwise = || vec![onnx::int("group", channels), onnx::ints("kernel_shape", &[1, 1])];
    [
        onnx::node("Relu", &[input], &relu, Vec::new()),
        onnx::node("Conv", &[input, slope], &scaled, depthwise()),
        onnx::node("Conv", &[&relu, rest], &kept, depthwise()),
        onnx::node("Add", &[&kept, &scaled], output, Vec::new()),
    ]
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn model(graph: GraphProto) -> Vec<u8> {
        ModelProto { ir_version: Some(3), graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
    }

    fn graph_of(bytes: &[u8]) -> GraphProto {
        ModelProto::decode(bytes).unwrap().graph.unwrap()
    }

    fn named(name: &str) -> ValueInfoProto {
        ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() }
    }

    fn prelu(slope_dims: &[i64]) -> GraphProto {
        GraphProto {
            node: vec![onnx::node("PRelu", &["x", "a"], "y", Vec::new())],
            initializer: vec![onnx::floats("a", slope_dims, [0.25, 0.5].into_iter())],
            input: vec![named("x"), named("a")],
            ..GraphProto::default()
        }
    }

    #[test]
    fn initializers_leave_the_input_list_and_the_file_declares_a_version_that_allows_it() {
        let bytes = detector(&model(prelu(&[2, 1, 1]))).unwrap();
        assert_eq!(ModelProto::decode(bytes.as_slice()).unwrap().ir_version, Some(4));
        let inputs = graph_of(&bytes).input;
        assert_eq!(inputs.iter().filter_map(|input| input.name.as_deref()).collect::<Vec<_>>(), ["x"]);
    }

    #[test]
    fn a_prelu_becomes_two_depthwise_convolutions_and_a_sum() {
        let graph = graph_of(&embedder(&model(prelu(&[2, 1, 1]))).unwrap());
        let kinds: Vec<_> = graph.node.iter().filter_map(|node| node.op_type.as_deref()).collect();
        assert_eq!(kinds, ["Relu", "Conv", "Conv", "Add"]);
        assert_eq!(graph.node[3].output, ["y"]);
        let constants: Vec<_> = graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref()).collect();
        assert_eq!(constants, ["y/slope", "y/rest"]);
        assert_eq!(onnx::float_values(&graph.initializer[1]), Some(vec![0.75, 0.5]));
    }

    #[test]
    fn a_slope_that_is_not_per_channel_is_refused() {
        assert!(matches!(embedder(&model(prelu(&[1, 2, 1]))), Err(RewriteError::UnknownSlope(_))));
    }

    #[test]
    fn a_file_that_is_not_onnx_is_refused() {
        assert!(matches!(detector(b"\xff\xff\xff"), Err(RewriteError::Undecodable(_))));
        assert!(matches!(detector(b""), Err(RewriteError::NoGraph)));
    }
}
