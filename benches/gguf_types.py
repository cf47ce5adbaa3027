"""Writes the weights of a GGUF file anew, in the types that `generate.py` compares: f32, bf16, int8 (Q8_0).

    python3 benches/gguf_types.py SMOLLM2.gguf FOLDER

needs gguf from PyPI. Vectors stay f32, as llama.cpp's own conversion leaves them.
"""

import sys
from pathlib import Path

from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, dequantize, quantize

TYPES = {"f32": GGMLQuantizationType.F32, "bf16": GGMLQuantizationType.BF16, "int8": GGMLQuantizationType.Q8_0}
FILE_TYPES = {"f32": 0, "bf16": 32, "int8": 7}


def main():
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(exist_ok=True)
    reader = GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    for name, kind in TYPES.items():
        writer = GGUFWriter(folder / f"{source.stem.split('.')[0]}.{name}.gguf", architecture)
        for field in reader.fields.values():
            if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
                continue
            of = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], of)
        writer.add_file_type(FILE_TYPES[name])
        for tensor in reader.tensors:
            values = dequantize(tensor.data, tensor.tensor_type)
            own = kind if values.ndim > 1 else GGMLQuantizationType.F32
            writer.add_tensor(tensor.name, quantize(values, own), raw_dtype=own)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        print(writer.path)


main()
