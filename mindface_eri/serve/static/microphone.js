// SPDX-License-Identifier: Apache-2.0
// Runs in the sound's own thread: samples of 16 bits, a tenth of a second at a time.
class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.samples = new Int16Array(Math.round(sampleRate / 10));
    this.count = 0;
  }

  process([channels]) {
    if (!channels.length) return true;
    for (let i = 0; i < channels[0].length; i += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      const value = sum / channels.length;
      this.samples[this.count] = Math.max(-1, Math.min(1, value)) * 32767;
      this.count += 1;
      if (this.count === this.samples.length) {
        this.port.postMessage(this.samples.slice());
        this.count = 0;
      }
    }
    return true;
  }
}
registerProcessor("microphone", Microphone);
