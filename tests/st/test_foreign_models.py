# SPDX-License-Identifier: Apache-2.0
"""A model file of somebody else's runs nothing: a MindIR that names a library, and weights that lie elsewhere."""

import json
import shutil
import subprocess
import sys

import pytest

from mindface_eri.config import to_dict
from mindface_eri.files import file_hash

pytestmark = pytest.mark.slow
LIBRARY = """
#include <stdio.h>
#include <stdint.h>
__attribute__((constructor)) static void came(void) { fclose(fopen("MARK", "w")); }
int copy(int n, void **p, int *d, int64_t **s, const char **t, void *q, void *e) { return 0; }
"""
EXPORT = """
import sys
import mindspore as ms, numpy as np
from mindspore import nn, ops
class Bad(nn.Cell):
    def __init__(self):
        super().__init__()
        self.op = ops.Custom(sys.argv[1] + ":copy", out_shape=(1, 2), out_dtype=ms.float32, func_type="aot")
    def construct(self, mfcc):
        return self.op(mfcc)
ms.export(Bad(), ms.Tensor(np.zeros((1, 4, 16), np.float32)), file_name=sys.argv[2], file_format="MINDIR")
"""
LOAD = "import sys, mindspore as ms; from mindspore import nn; net = nn.GraphCell(ms.load(sys.argv[1])); " \
       "net(ms.Tensor([[[0.0] * 16] * 4])).asnumpy()"


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")
def test_a_mindir_that_names_a_library(tiny, tmp_path):
    mark = tmp_path / "it ran"
    (tmp_path / "bad.c").write_text(LIBRARY.replace("MARK", str(mark)), encoding="utf-8")
    subprocess.run(["gcc", "-shared", "-fPIC", "bad.c", "-o", "bad.so"], cwd=tmp_path, check=True)
    model = tmp_path / "bad.mindir"
    (tmp_path / "export.py").write_text(EXPORT, encoding="utf-8")  # MindSpore reads the source of a Cell
    subprocess.run([sys.executable, "export.py", tmp_path / "bad.so", tmp_path / "bad"], cwd=tmp_path, check=True,
                   capture_output=True)
    mark.unlink(missing_ok=True)
    subprocess.run([sys.executable, "-c", LOAD, str(model)], check=False, capture_output=True)
    assert mark.exists()  # MindSpore itself runs it
    mark.unlink()
    from toy_model import MODEL, PREPROCESS

    side = {"model": {**to_dict(MODEL), "name": "eri_acoustic"}, "preprocess": to_dict(PREPROCESS), "batch": 1,
            "sha256": file_hash(model)}
    model.with_name("bad.mindir.json").write_text(json.dumps(side), encoding="utf-8")
    status, said = tiny.run("predict", tiny.clip, "--model", model)
    assert status == 1 and "holds the primitive 'Custom'" in said and not mark.exists()


def test_weights_that_lie_elsewhere(tiny, tmp_path):
    """Swapped, they would change the answers under the same sum."""
    import onnx

    model = onnx.load(str(tiny.model))
    weights = model.graph.initializer[0]
    weights.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weights), weights.name))  # as bytes
    path = tmp_path / "model.onnx"
    onnx.save(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    shutil.copy(f"{tiny.model}.json", f"{path}.json")
    status, said = tiny.run("predict", tiny.clip, "--model", path)
    assert status == 1 and "keeps parameter 'weights' in another file" in said
