/**
 * The program around the kernels: an emitter of one's own. It sees the plan (mhc-lang's `Plan`), in which the kernels'
 * target has its table of dispatches, and writes a `main` in C that runs the entry `forward` of a page with inputs and
 * outputs: parameters come from a file, inputs from stdin, outputs go to stdout, all of them f32 in row-major order.
 */

const words = (shape) => shape.reduce((product, size) => product * size, 1);

function main(plan) {
  const { kernels, entries, pools, constants } = plan.devices.c;
  const { dispatches, inputs, outputs } = entries.forward;
  const copy = (at, how, file) => `  ${how}(pools.${at.pool} + ${at.offset}, 4, ${words(at.shape)}, ${file});`;
  return [
    "#include <stdint.h>",
    "#include <stdio.h>",
    "#include <string.h>",
    "",
    "typedef struct { float *state, *work, *out; uint32_t *ints; } Pools;",
    ...["state", "work", "out"].map((pool) => `static float ${pool}[${pools[pool] + 1}];`),
    `static uint32_t ints[${pools.ints + 1}];`,
    "static const Pools pools = {state, work, out, ints};",
    ...kernels.map((_, i) => `void k${i}(const Pools *, const uint32_t *, int32_t, int32_t);`),
    ...constants.map(
      ({ at, data }, i) => `static const ${at.dtype === "f32" ? "float" : "uint32_t"} c${i}[] = {${data.join(", ")}};`,
    ),
    "",
    "int main(int count, char **arguments) {",
    '  FILE *parameters = count > 1 ? fopen(arguments[1], "rb") : NULL;',
    "  if (!parameters) return 1;",
    ...plan.parameters.map(({ offset, shape }) => copy({ pool: "state", offset, shape }, "fread", "parameters")),
    ...constants.map(({ at }, i) => `  memcpy(pools.${at.pool} + ${at.offset}, c${i}, sizeof c${i});`),
    ...Object.values(inputs).map((at) => copy(at, "fread", "stdin")),
    // A dispatch may run its kernel on several sets of buffers, which stand one behind the other.
    ...dispatches.flatMap(({ kernel, offsets }) => {
      const { groups, buffers } = kernels[kernel];
      return Array.from({ length: Math.max(1, offsets.length / buffers.length) }, (_, set) => {
        const own = offsets.slice(set * buffers.length, (set + 1) * buffers.length);
        return `  k${kernel}(&pools, (const uint32_t[]){${own.join(", ")}}, 0, ${groups});`;
      });
    }),
    ...Object.keys(plan.outputs).map((output) => copy(outputs[output], "fwrite", "stdout")),
    "  return 0;",
    "}",
  ].join("\n");
}

/** @type {import("mhc-lang").ModuleEmitter} */
export default {
  kind: "module",
  name: "c-program",
  emit: async (stem, plan) => [{ path: `${stem}.main.c`, content: `${main(plan)}\n` }],
};
