// One layer behind a 2x2 average pool and a 3x3 convolution, event by event, from the files of `refsim export golden`.
`timescale 1ns/1ns

module neuron(input clk, input restart, input step, input signed [31:0] u, v0, theta, theta_neg, input dual,
              output reg signed [1:0] s);
  reg signed [31:0] v, m;
  reg [15:0] count;
  always @(posedge clk)
    if (restart) begin v <= v0; count <= 0; s <= 0; end
    else if (step) begin
      m = v + u;
      if (m >= theta) begin s <= 1; v <= m - theta; count <= count + 1; end
      else if (dual && m <= theta_neg && count > 0) begin s <= -1; v <= m + theta; count <= count - 1; end
      else begin s <= 0; v <= m; end
    end
endmodule

module bench;
  reg [31:0] events_in [0:`WORDS_IN-1], events_out [0:`WORDS_OUT-1];
  reg signed [7:0] weight [0:`C*`C_IN*9-1];
  reg signed [31:0] bias [0:`C-1], theta [0:`C-1], v0 [0:`C-1], theta_neg [0:`C-1];
  reg signed [31:0] sum [0:`C*`H*`W-1], u [0:`C*`H*`W-1];
  reg clk = 0, restart = 0, step = 0;
  wire signed [1:0] s [0:`C*`H*`W-1];
  integer image, t, from, to, k, c, i, j, y, x, a, wrong, spikes;
  reg signed [1:0] expected [0:`C*`H*`W-1];
`ifdef THETA_NEG
  localparam dual = 1;
`else
  localparam dual = 0;
`endif

  genvar g;
  generate for (g = 0; g < `C*`H*`W; g = g + 1) begin : cells
    neuron cell_(clk, restart, step, u[g], v0[g / (`H*`W)], theta[g / (`H*`W)], theta_neg[g / (`H*`W)], dual[0], s[g]);
  end endgenerate

  task tick; begin #1 clk = 1; #1 clk = 0; end endtask

  // The spike at address a lies in one window of the pool, which is read by up to nine positions of each channel.
  task deliver(input integer a, input integer sign); begin
    y = a / `W_IN % `H_IN / 2; x = a % `W_IN / 2;
    if (y < `H && x < `W)
      for (i = 0; i < 3; i = i + 1) for (j = 0; j < 3; j = j + 1)
        if (y + 1 - i >= 0 && y + 1 - i < `H && x + 1 - j >= 0 && x + 1 - j < `W)
          for (c = 0; c < `C; c = c + 1) begin
            k = (c * `H + y + 1 - i) * `W + x + 1 - j;
            sum[k] = sum[k] + sign * weight[((c * `C_IN + a / (`H_IN*`W_IN)) * 3 + i) * 3 + j];
          end
  end endtask

  initial begin
    $readmemh(`EVENTS_IN, events_in); $readmemh(`EVENTS_OUT, events_out); $readmemh(`WEIGHT, weight);
    $readmemh(`BIAS, bias); $readmemh(`THETA, theta); $readmemh(`V0, v0);
`ifdef THETA_NEG
    $readmemh(`THETA_NEG, theta_neg);
`endif
    from = 0; to = 0; wrong = 0; spikes = 0;
    for (image = 0; image < `N; image = image + 1) begin
      restart = 1; tick; restart = 0; step = 1;
      for (t = 0; t < `T; t = t + 1) begin
        for (k = 0; k < `C*`H*`W; k = k + 1) begin sum[k] = bias[k / (`H*`W)]; expected[k] = 0; end
        while (events_in[from] != 32'hffffffff) begin
          deliver(events_in[from][29:0], events_in[from][30] ? -1 : 1);
          from = from + 1;
        end
        from = from + 1;
        for (k = 0; k < `C*`H*`W; k = k + 1) u[k] = sum[k];
        tick;
        while (events_out[to] != 32'hffffffff) begin
          expected[events_out[to][29:0]] = events_out[to][30] ? -1 : 1;
          spikes = spikes + 1; to = to + 1;
        end
        to = to + 1;
        for (k = 0; k < `C*`H*`W; k = k + 1) if (s[k] !== expected[k]) wrong = wrong + 1;
      end
      step = 0;
    end
    $display("spikes %0d wrong %0d", spikes, wrong);
    $finish;
  end
endmodule
