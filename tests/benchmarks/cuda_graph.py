"""CUDA graphs, which the library does not use until they have been measured."""

import torch


class CUDAGraph:
    """A function of tensors, which a GPU runs as one CUDA graph.

    Launching many small operations takes the CPU longer than the GPU needs to run them.
    So the first call with inputs of given shapes runs the function, which initialises
    what a capture must not initialise. The second call captures the operations as a
    graph, and later calls replay this graph. On a CPU every call runs the function.

    `function` maps tensors to a tuple of tensors. It must not synchronise. Other
    tensors that it uses must stay where they are in memory; their values may change.
    """

    def __init__(self, function):
        self.function = function
        self._graphs = {}

    def __call__(self, *inputs):
        """Return what the function returns; on a GPU, copies of the graph's outputs."""
        if not inputs[0].is_cuda:
            return self.function(*inputs)
        shapes = tuple(x.shape for x in inputs)
        if shapes not in self._graphs:
            self._graphs[shapes] = None
            return self.function(*inputs)
        if self._graphs[shapes] is None:
            graph, graph_inputs = torch.cuda.CUDAGraph(), [x.clone() for x in inputs]
            # Other threads may use the GPU during the capture.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                outputs = self.function(*graph_inputs)
            self._graphs[shapes] = graph, graph_inputs, outputs
        graph, graph_inputs, outputs = self._graphs[shapes]
        for graph_input, x in zip(graph_inputs, inputs, strict=True):
            graph_input.copy_(x)
        graph.replay()
        return tuple(output.clone() for output in outputs)
