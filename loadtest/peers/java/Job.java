import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.io.Serializable;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.zip.CRC32;

/**
 * The smaller job in Java, for both engines on the JVM: `job.py` says what it is, and the decisions are compared.
 *
 * What is remembered of a caller is one long[]: panes of a minute, oldest first, each six numbers and then its distinct
 * callees. A flat array costs an engine least to copy and to write, which is most of what state costs it.
 */
public final class Job implements Serializable {
  /** One record, as far as the job needs it; public fields and no constructor, for Flink's fast serializer. */
  public static class Call {
    public String id;
    public String caller;
    public long callee;
    public long eventMs;
    public boolean answered;
    public long talkS;
  }

  private static final int MINUTE = 0, ATTEMPTS = 1, ANSWERED = 2, SHORT = 3, TALK_S = 4, CALLEES = 5, HEADER = 6;
  private static final int SHORT_WINDOW = 5, LONG_WINDOW = 60;
  private static final int SHORT_TALK_S = 6;
  private static final int MOST_CALLEES = 256;
  private static final long MINUTE_MS = 60_000;
  private static final long[] NOTHING = {};
  private static final JsonFactory JSON = new JsonFactory();

  public final String bootstrap, topic, group, decisions;
  public final int threads, commitMs;
  private final double[] coefficients = new double[8];
  private final double intercept, threshold;

  private Job(JsonNode task) {
    bootstrap = task.get("bootstrap").textValue();
    topic = task.get("topic").textValue();
    group = task.get("group").textValue();
    decisions = task.get("decisions").textValue();
    threads = task.get("threads").intValue();
    commitMs = task.get("commit_ms").intValue();
    for (int i = 0; i < coefficients.length; i++) coefficients[i] = task.get("coefficients").get(i).doubleValue();
    intercept = task.get("intercept").doubleValue();
    threshold = task.get("threshold").doubleValue();
  }

  /** The job as the file says it. */
  public static Job read(String file) throws IOException {
    return new Job(new ObjectMapper().readTree(new File(file)));
  }

  /** The record in `json`: a streaming parser makes no tree of what nobody reads. */
  public static Call parse(byte[] json) throws IOException {
    Call call = new Call();
    try (JsonParser parser = JSON.createParser(json)) {
      parser.nextToken();
      while (parser.nextToken() == JsonToken.FIELD_NAME) {
        String field = parser.currentName();
        parser.nextToken();
        switch (field) {
          case "id" -> call.id = parser.getText();
          case "from" -> call.caller = parser.getText();
          case "to" -> call.callee = number(parser.getText());
          case "end", "time" -> call.eventMs = parser.getLongValue();
          case "duration" -> call.talkS = parser.getLongValue();
          case "outcome" -> call.answered = parser.getText().equals("answered");
          default -> parser.skipChildren();
        }
      }
    }
    return call;
  }

  /** A number or a name as a long that is never 0. */
  private static long number(String text) {
    if (text.startsWith("+")) return 1 + Long.parseLong(text, 1, text.length(), 10);
    CRC32 crc = new CRC32();
    crc.update(text.getBytes(StandardCharsets.UTF_8));
    return -1 - crc.getValue();
  }

  /** What is remembered once `call` has been counted; null was nothing. The given array may be changed and returned. */
  public long[] count(long[] remembered, Call call) {
    long minute = Math.floorDiv(call.eventMs, MINUTE_MS);
    long[] panes = remembered == null ? NOTHING : remembered;
    int newest = newest(panes);
    if (newest < 0 || panes[newest + MINUTE] < minute) {
      int kept = 0;
      while (kept < panes.length && panes[kept + MINUTE] <= minute - LONG_WINDOW) kept = next(panes, kept);
      newest = panes.length - kept;
      long[] grown = new long[newest + HEADER];
      System.arraycopy(panes, kept, grown, 0, newest);
      panes = grown;
      panes[newest + MINUTE] = minute;
    }
    if (!holds(panes, newest, call.callee) && callees(panes) < MOST_CALLEES) {
      panes = Arrays.copyOf(panes, panes.length + 1);
      panes[panes.length - 1] = call.callee;
      panes[newest + CALLEES]++;
    }
    panes[newest + ATTEMPTS]++;
    if (call.answered) {
      panes[newest + ANSWERED]++;
      panes[newest + TALK_S] += call.talkS;
      if (call.talkS < SHORT_TALK_S) panes[newest + SHORT]++;
    }
    return panes;
  }

  private static int next(long[] panes, int pane) {
    return pane + HEADER + (int) panes[pane + CALLEES];
  }

  private static int newest(long[] panes) {
    int newest = -1;
    for (int pane = 0; pane < panes.length; pane = next(panes, pane)) newest = pane;
    return newest;
  }

  private static int callees(long[] panes) {
    int callees = panes.length;
    for (int pane = 0; pane < panes.length; pane = next(panes, pane)) callees -= HEADER;
    return callees;
  }

  private static boolean holds(long[] panes, int pane, long callee) {
    int end = next(panes, pane);
    for (int i = pane + HEADER; i < end; i++) if (panes[i] == callee) return true;
    return false;
  }

  /** The eight features of the two windows, weighed: the margin of a logistic model. */
  public double score(long[] panes) {
    long oldest = panes[newest(panes) + MINUTE] - SHORT_WINDOW;
    long attempts = 0, shorts = 0, recent = 0, recentAnswered = 0, recentShorts = 0, recentTalkS = 0;
    int recentPane = panes.length;
    for (int pane = 0; pane < panes.length; pane = next(panes, pane)) {
      attempts += panes[pane + ATTEMPTS];
      shorts += panes[pane + SHORT];
      if (panes[pane + MINUTE] > oldest) {
        recentPane = Math.min(recentPane, pane);
        recent += panes[pane + ATTEMPTS];
        recentAnswered += panes[pane + ANSWERED];
        recentShorts += panes[pane + SHORT];
        recentTalkS += panes[pane + TALK_S];
      }
    }
    double[] c = coefficients;
    return intercept
        + c[0] * Math.log1p(recent)
        + c[1] * ((double) recentAnswered / recent)
        + c[2] * ((double) recentShorts / recent)
        + c[3] * ((double) recentTalkS / Math.max(1, recentAnswered) / 60)
        + c[4] * ((double) distinct(panes, recentPane) / recent)
        + c[5] * Math.log1p(attempts)
        + c[6] * ((double) shorts / attempts)
        + c[7] * ((double) distinct(panes, 0) / attempts);
  }

  /** Distinct callees of the panes from `first` on. A table of longs: a HashSet of boxed ones costs several times that. */
  private static int distinct(long[] panes, int first) {
    if (next(panes, first) == panes.length) return (int) panes[first + CALLEES];
    int bits = 33 - Integer.numberOfLeadingZeros(panes.length - first);
    long[] table = new long[1 << bits];
    int distinct = 0;
    for (int pane = first; pane < panes.length; pane = next(panes, pane)) {
      int end = next(panes, pane);
      for (int i = pane + HEADER; i < end; i++) {
        long callee = panes[i];
        int slot = (int) (callee * 0x9E3779B97F4A7C15L >>> (64 - bits));
        while (table[slot] != 0 && table[slot] != callee) slot = (slot + 1) & (table.length - 1);
        if (table[slot] == 0) {
          table[slot] = callee;
          distinct++;
        }
      }
    }
    return distinct;
  }

  public boolean decides(double score) {
    return score > threshold;
  }

  /** What is published of a decision. */
  public static byte[] decision(Call call, double score) {
    String json = "{\"id\":\"" + call.id + "\",\"number\":\"" + call.caller + "\",\"score\":" + score + "}";
    return json.getBytes(StandardCharsets.UTF_8);
  }
}
