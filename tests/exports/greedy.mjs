// What llama.cpp does with GGUF files: node greedy.mjs < {"files": [...], "prompts": [...], "count": 50}, started where
// node-llama-cpp is installed. Prints {file: [{"read": ids of a prompt, "written": ids, each the likeliest}, ...]}, or
// {file: {"error": why it does not open}}.
import {readFileSync} from "node:fs";
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";

const here = createRequire(pathToFileURL(`${process.cwd()}/`));
const {getLlama} = await import(pathToFileURL(here.resolve("node-llama-cpp")));
const {files, prompts, count} = JSON.parse(readFileSync(0, "utf8"));
const llama = await getLlama({gpu: false, build: "never", progressLogs: false, logLevel: "error"});
const exact = {experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32", flashAttention: false};

async function answers(file) {
    const model = await llama.loadModel({modelPath: file});
    const context = await model.createContext({contextSize: 256, batchSize: 256, threads: 1, ...exact});
    const found = [];
    for (const prompt of prompts) {
        const read = [...model.tokenize(prompt, false)], written = [];
        if (model.tokens.shouldPrependBosToken) read.unshift(model.tokens.bos);
        const sequence = context.getSequence();
        for await (const token of sequence.evaluate(read, {temperature: 0, yieldEogToken: true})) {
            written.push(token);
            if (written.length === count) break;
        }
        sequence.dispose();
        found.push({read, written});
    }
    await model.dispose();
    return found;
}

const told = {};
for (const file of files) {
    try {
        told[file] = await answers(file);
    } catch (fault) {
        told[file] = {error: String(fault)};
    }
}
console.log(JSON.stringify(told));
process.exit(0);
