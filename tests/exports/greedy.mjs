// What llama.cpp does with a GGUF file: node greedy.mjs FILE COUNT < prompts as a JSON list, run where node-llama-cpp is.
// Prints a JSON list of {"read": ids of the prompt, "written": COUNT ids, each the likeliest}.
import {readFileSync} from "node:fs";
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";

const here = createRequire(pathToFileURL(`${process.cwd()}/`));
const {getLlama} = await import(pathToFileURL(here.resolve("node-llama-cpp")));
const [file, count] = [process.argv[2], Number(process.argv[3])];
const llama = await getLlama({gpu: false, build: "never", progressLogs: false, logLevel: "error"});
const model = await llama.loadModel({modelPath: file});
const context = await model.createContext({contextSize: 256, batchSize: 256, threads: 1});
const answers = [];
for (const prompt of JSON.parse(readFileSync(0, "utf8"))) {
    const read = [...model.tokenize(prompt, false)];
    if (model.tokens.shouldPrependBosToken) read.unshift(model.tokens.bos);
    const written = [];
    const sequence = context.getSequence();
    for await (const token of sequence.evaluate(read, {temperature: 0, yieldEogToken: true})) {
        written.push(token);
        if (written.length === count) break;
    }
    sequence.dispose();
    answers.push({read, written});
}
console.log(JSON.stringify(answers));
process.exit(0);
