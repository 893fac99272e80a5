import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  // A running server, or a file.
  schema: process.env.SCHEMA || "http://127.0.0.1:8000/graphql",
  documents: "src/*.{ts,tsx}",
  generates: {
    "src/generated/": {
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: {
        useTypeImports: true,
        strictScalars: true,
        scalars: { DateTime: "string" },
      },
    },
  },
};

export default config;
